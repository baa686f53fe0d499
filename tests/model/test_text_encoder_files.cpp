#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <functional>

#include "base/error.hpp"
#include "golden_text.hpp"
#include "support/temp_dir.hpp"
// clang-format off: after libtorch
#include "support/golden.hpp"
#include "support/doctest_with_torch.hpp"
// clang-format on

using namespace step1x;
using namespace step1x::test;
using nlohmann::json;
namespace fs = std::filesystem;

using step1x::test::kGolden;

namespace {

// A copy of a text encoder's folder, to be spoiled.
class Folder {
 public:
  explicit Folder(const char* source = "qwen-sharded") {
    fs::copy(kGolden / source, dir_.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  }

  const fs::path& path() const { return dir_.path(); }
  ModelLayout layout() const { return text_encoder_layout(path()); }

  void change_json(const char* name, const std::function<void(json&)>& change) const {
    json content = json::parse(read_file(path() / name));
    change(content);
    dir_.write(name, content.dump());
  }

  // Replaces the header of a safetensors file; the tensors' bytes stay.
  void change_header(const fs::path& file, const std::function<void(json&)>& change) const {
    const std::string bytes = read_file(file);
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    json header = json::parse(bytes.substr(8, length));
    change(header);
    const std::string text = header.dump();
    const std::uint64_t size = text.size();
    std::ofstream out(file, std::ios::binary);
    out.write(reinterpret_cast<const char*>(&size), 8);
    out << text << bytes.substr(8 + length);
  }

  // The message of the error that opening gives: one line, of the code that exits with 4.
  std::string error() const {
    try {
      open_text_encoder(layout());
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::model_missing);
      CHECK(std::string(error.what()).find('\n') == std::string::npos);
      return error.what();
    }
    return "";
  }

  std::string config_error(const std::function<void(json&)>& change) const {
    change_json("config.json", change);
    return error();
  }

 private:
  TempDir dir_;
};

bool contains(const std::string& text, std::initializer_list<const char*> parts) {
  INFO(text);
  return std::ranges::all_of(parts, [&](const char* part) {
    const bool found = text.find(part) != std::string::npos;
    if (!found) MESSAGE("not in it: " << part);
    return found;
  });
}

// What is renamed in the checkpoint as transformers 4.52 and later name it in memory.
std::string nested_name(const std::string& name) {
  if (name.starts_with("visual.")) return "model." + name;
  if (name.starts_with("model.")) return "model.language_model." + name.substr(6);
  return name;
}

}  // namespace

TEST_CASE("an untouched folder opens, and the output head is not in the table") {
  CHECK(Folder().error().empty());
  const Folder whole("bundle/Qwen2.5-VL-7B-Instruct");
  const TextEncoderFiles files = open_text_encoder(whole.layout());
  REQUIRE(files.checkpoint.find("lm_head.weight") != nullptr);
  for (const TensorPlan& plan : files.table) {
    for (const TensorPart& part : plan.parts) CHECK(part.source.find("lm_head") == std::string::npos);
  }
}

TEST_CASE("both namings of the tensors give the same encoder") {
  const Folder nested("bundle/Qwen2.5-VL-7B-Instruct");
  nested.change_header(nested.path() / "model.safetensors", [](json& header) {
    json renamed = json::object();
    for (const auto& [name, value] : header.items()) renamed[nested_name(name)] = value;
    header = renamed;
  });
  const TextEncoderFiles files = open_text_encoder(nested.layout());
  REQUIRE(files.checkpoint.find("model.visual.merger.ln_q.weight") != nullptr);
  const Weights weights = load_weights(files.checkpoint, files.table, at::kFloat);
  const TextEncoderFiles plain = open_text_encoder(text_encoder_layout(kGolden / "qwen-sharded"));
  const Weights expected = load_weights(plain.checkpoint, plain.table, at::kFloat);
  CHECK(weights.tensors().size() == expected.tensors().size());
  for (const auto& [name, tensor] : expected.tensors()) {
    CAPTURE(name);
    REQUIRE(weights.find(name) != nullptr);
    CHECK(weights.find(name)->equal(tensor));
  }
}

TEST_CASE("both forms of config.json give the same dimensions") {
  const TextEncoderConfig flat = read_text_encoder_config(kGolden / "qwen-sharded/config.json");
  const Folder folder;
  folder.change_json("config.json", [](json& config) {
    for (const char* key :
         {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size",
          "num_key_value_heads", "rope_scaling", "rope_theta", "rms_norm_eps", "hidden_act"}) {
      config["text_config"][key] = config[key];
      config.erase(key);
    }
    config["text_config"]["image_token_id"] = nullptr;
  });
  const TextEncoderConfig nested = read_text_encoder_config(folder.path() / "config.json");
  CHECK(nested.hidden == flat.hidden);
  CHECK(nested.layers == flat.layers);
  CHECK(nested.rope_sections == flat.rope_sections);
  CHECK(nested.image_token == flat.image_token);
  CHECK(nested.vision.full_attention_layers == flat.vision.full_attention_layers);
  CHECK(folder.error().empty());
}

TEST_CASE("a missing shard is named") {
  const Folder folder;
  fs::remove(folder.path() / "model-00002-of-00002.safetensors");
  CHECK(contains(folder.error(), {"model-00002-of-00002.safetensors"}));
}

TEST_CASE("a missing tensor is named with the shape that was expected") {
  const Folder folder;
  folder.change_json("model.safetensors.index.json",
                     [](json& index) { index["weight_map"].erase("model.layers.1.mlp.up_proj.weight"); });
  CHECK(contains(folder.error(),
                 {"model.safetensors.index.json", "'model.layers.1.mlp.up_proj.weight'", "[64, 40]", "is missing"}));
}

TEST_CASE("a tensor of another shape is named with both shapes") {
  const Folder folder;
  folder.change_header(folder.path() / "model-00002-of-00002.safetensors",
                       [](json& header) { header["visual.merger.mlp.2.weight"]["shape"] = {128, 40}; });
  CHECK(contains(folder.error(),
                 {"model-00002-of-00002.safetensors", "'visual.merger.mlp.2.weight'", "[128, 40]", "[40, 128]"}));
}

TEST_CASE("a model of other dimensions than its config.json says is refused before anything is allocated") {
  const Folder folder;
  // The embedding alone would be 2^31 * 40 * 4 bytes.
  CHECK(contains(folder.config_error([](json& config) { config["vocab_size"] = 2147483647; }),
                 {"'model.embed_tokens.weight'", "[4118, 40]", "[2147483647, 40]"}));
}

TEST_CASE("a text model where a vision model belongs is told by its config, and by its tensors") {
  CHECK(contains(Folder().config_error([](json& config) { config["model_type"] = "qwen2"; }),
                 {"config.json", "\"qwen2\"", "qwen2_5_vl", "vision"}));
  const Folder folder;
  folder.change_json("model.safetensors.index.json", [](json& index) {
    json& map = index["weight_map"];
    for (auto it = map.begin(); it != map.end();) it = it.key().starts_with("visual.") ? map.erase(it) : std::next(it);
  });
  CHECK(contains(folder.error(), {"model.safetensors.index.json", "text model", "visual.patch_embed.proj.weight"}));
  CHECK(contains(Folder().config_error([](json& config) { config.erase("vision_config"); }),
                 {"config.json", "'vision_config' is missing", "text model"}));
}

TEST_CASE("a configuration that the code does not compute is refused with key and value") {
  const auto refused = [](const std::function<void(json&)>& change, std::initializer_list<const char*> parts) {
    return contains(Folder().config_error(change), parts);
  };
  CHECK(refused([](json& c) { c["hidden_act"] = "gelu"; }, {"'hidden_act' is \"gelu\", expected \"silu\""}));
  CHECK(refused([](json& c) { c["vision_config"]["hidden_act"] = "quick_gelu"; }, {"vision_config 'hidden_act'"}));
  CHECK(refused([](json& c) { c["use_sliding_window"] = true; }, {"'use_sliding_window' is true, expected false"}));
  for (const char* key : {"type", "rope_type"})
    CHECK(refused([&](json& c) { c["rope_scaling"][key] = "yarn"; }, {"'rope_scaling'", "yarn", "default or mrope"}));
  CHECK(refused([](json& c) { c["num_hidden_layers"] = 0; }, {"'num_hidden_layers' is 0"}));
  CHECK(refused([](json& c) { c["num_hidden_layers"] = 1e9 + 0.5; }, {"'num_hidden_layers' is 1000000000.5"}));
  CHECK(refused([](json& c) { c["num_attention_heads"] = 3; }, {"'hidden_size' is 40, expected a multiple of 6"}));
  CHECK(
      refused([](json& c) { c["num_key_value_heads"] = 3; }, {"'num_attention_heads' is 4, expected a multiple of 3"}));
  CHECK(refused([](json& c) { c.erase("image_token_id"); }, {"'image_token_id' is missing"}));
  CHECK(refused([](json& c) { c["rope_scaling"]["mrope_section"] = {1, 2, 3}; }, {"mrope_section", "add up to 5"}));
  CHECK(refused([](json& c) { c["rope_scaling"] = {{"type", "yarn"}}; }, {"rope_scaling 'mrope_section' is missing"}));
  CHECK(refused([](json& c) { c["vision_config"]["out_hidden_size"] = 41; }, {"'out_hidden_size' is 41, expected 40"}));
  CHECK(
      refused([](json& c) { c["vision_config"]["window_size"] = 27; }, {"'window_size' is 27, expected at least 28"}));
  CHECK(refused([](json& c) { c["vision_config"]["patch_size"] = 2000000000; }, {"patch_size"}));
}

TEST_CASE("a tokenizer with more ids than the model is told, not read past the end") {
  const TextEncoder encoder = load_text_encoder(Folder().layout());
  const PictureTokens none{at::empty({0, 40}, at::kFloat), {0, 0}};
  CHECK_THROWS_WITH_AS(encoder.forward(prompt_of({5, 4118}, 0, 9, true), none),
                       doctest::Contains("gives id 4118 and the text encoder knows 4118"), Error);
}

TEST_CASE("a picture of another size than the prompt was made for is told") {
  const TextEncoder encoder = load_text_encoder(Folder().layout());
  const PictureTokens picture{at::zeros({6, 40}, at::kFloat), {4, 6}};
  CHECK_THROWS_WITH_AS(encoder.forward(prompt_of({5, 4105, 4108, 4108, 4106}, 0, 9, true), picture),
                       doctest::Contains("2 picture tokens and the picture's grid is 2x3"), Error);
  CHECK_THROWS_WITH_AS(encoder.encode_picture(at::zeros({24, 588}, at::kFloat), {4, 6}),
                       doctest::Contains("grid of 4x6"), Error);
}
