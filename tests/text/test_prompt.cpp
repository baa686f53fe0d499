#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "support/golden.hpp"
#include "support/temp_dir.hpp"
#include "support/tensors.hpp"
#include "text/prompt.hpp"
#include "text/tokenizers.hpp"
#include "weights/safetensors.hpp"

using namespace step1x;
using nlohmann::json;
using step1x::test::integers;
using step1x::test::kGolden;
using step1x::test::read_file;

namespace {

using Ids = std::vector<Tokenizer::Id>;

std::size_t image_tokens(const SafetensorsFile& file, const std::string& name) {
  const auto grid = integers(file, name);
  return static_cast<std::size_t>(grid.at(0) * grid.at(1) * grid.at(2) / 4);
}

std::vector<std::int64_t> wide(const auto& values) {
  return {values.begin(), values.end()};
}

void check_native(const std::filesystem::path& folder, const std::string& name, std::size_t at_least) {
  const SafetensorsFile file(folder / (name + ".safetensors"));
  const json manifest = json::parse(read_file(folder / "manifest.json"));
  const json& about = manifest["cases"][name + ".safetensors"];
  REQUIRE(about["prompts"].size() >= at_least);
  PromptConfig labelled = diffusers_v1_1_prompt();
  for (const json& prompt : about["prompts"]) {
    const std::string index = std::to_string(prompt["index"].get<int>());
    const auto text = prompt["prompt"].get<std::string>();
    CAPTURE(text);
    const std::size_t tokens = image_tokens(file, index + ".image_grid_thw");
    const EncodedPrompt encoded = encode_prompt(test::full_tokenizer(), native_prompt(), text, tokens);
    CHECK(wide(encoded.ids) == integers(file, index + ".input_ids"));
    CHECK(encoded.kept == prompt["kept"].get<std::size_t>());
    CHECK(encoded.drop == 217);
    CHECK(encoded.length == 640);
    CHECK(wide(encode_prompt(test::full_tokenizer(), labelled, text, tokens).ids) ==
          integers(file, index + ".input_ids_add_vision_id"));
    std::vector<int> zeros;
    for (std::size_t i = 0; i < encoded.attended.size(); ++i) {
      if (encoded.attended[i] == 0) zeros.push_back(static_cast<int>(i));
    }
    CHECK(zeros == prompt["id0_positions"].get<std::vector<int>>());
  }
}

}  // namespace

TEST_CASE("v1.0 and v1.1 prompts have the reference's ids, without and with the picture's label") {
  check_native(kGolden, "prompt-ids", 30);
}

TEST_CASE("prompts around the limit of 640 tokens are cut where the reference cuts them") {
  check_native(kGolden / "full-size", "prompt-ids-long", 3);
}

TEST_CASE("a small vocabulary needs its own number of dropped tokens, and says so") {
  const SafetensorsFile file(kGolden / "qwen.safetensors");
  const json manifest = json::parse(read_file(kGolden / "manifest.json"));
  PromptConfig config = native_prompt();
  CHECK_THROWS_WITH_AS(encode_prompt(test::small_tokenizer(), config, "x", 4), doctest::Contains("makes 363 tokens"),
                       Error);
  apply_overrides(config, {{"max_length", 64}, {"drop_tokens", 362}, {"min_pixels", 3136}}, "config.json");
  for (const json& prompt : manifest["cases"]["qwen.safetensors"]["prompts"]) {
    const auto name = prompt["name"].get<std::string>();
    CAPTURE(name);
    const std::size_t tokens = image_tokens(file, prompt["image"].get<std::string>() + ".image_grid_thw");
    const EncodedPrompt encoded =
        encode_prompt(test::small_tokenizer(), config, prompt["prompt"].get<std::string>(), tokens);
    CHECK(wide(encoded.ids) == integers(file, name + ".input_ids"));
    CHECK(wide(encoded.attended) == integers(file, name + ".attention_mask"));
    const auto mask = integers(file, name + ".mask");
    CHECK(encoded.kept == static_cast<std::size_t>(std::ranges::count(mask, 1)));
    CHECK(encoded.length == mask.size());
  }
}

TEST_CASE("the diffusers forms have their pipelines' ids") {
  for (const char* version : {"diffusers-v1.1", "diffusers-v1.2"}) {
    CAPTURE(version);
    const SafetensorsFile file(kGolden / version / "pipeline.safetensors");
    const json about = json::parse(read_file(kGolden / version / "pipeline.json"));
    const bool marked = std::string(version).ends_with("2");
    const PromptConfig config = marked ? diffusers_v1_2_prompt() : diffusers_v1_1_prompt();
    for (const auto& [key, prefix] : {std::pair("prompt", "pos"), std::pair("negative_prompt", "neg")}) {
      CAPTURE(prefix);
      const EncodedPrompt encoded = encode_prompt(test::small_tokenizer(), config, about[key].get<std::string>(),
                                                  image_tokens(file, std::string(prefix) + ".image_grid_thw"));
      CHECK(wide(encoded.ids) == integers(file, std::string(prefix) + ".input_ids"));
      CHECK(encoded.kept == about[std::string(prefix) + ".valid_len"].get<std::size_t>());
      if (!marked) continue;
      CHECK(encoded.length == encoded.kept);
      const std::vector<std::int64_t> kept(encoded.quoted.begin() + 90, encoded.quoted.end());
      CHECK(kept == integers(file, "" + std::string(prefix) + ".text_masks"));
    }
  }
}

TEST_CASE("v1.2 marks quoted characters as the reference does") {
  const json vectors = json::parse(read_file(kGolden / "diffusers-v1.2/prompt-ids-full-vocab.json"));
  REQUIRE(vectors["cases"].size() >= 5);
  const PromptConfig config = diffusers_v1_2_prompt();
  CHECK(config.quote_start == vectors["prefix_chars"].get<std::size_t>());
  int refused = 0;
  for (const json& vector : vectors["cases"]) {
    const auto prompt = vector["prompt"].get<std::string>();
    CAPTURE(prompt);
    if (prompt.find("<|image_pad|>") != std::string::npos) {
      // The reference would look for a second picture here.
      CHECK_THROWS_WITH_AS(encode_prompt(test::full_tokenizer(), config, prompt, 1), doctest::Contains("<|image_pad|>"),
                           Error);
      ++refused;
      continue;
    }
    const EncodedPrompt encoded = encode_prompt(test::full_tokenizer(), config, prompt, 1);
    CHECK(encoded.ids == vector["ids"].get<Ids>());
    CHECK(encoded.quoted == vector["text_mask"].get<std::vector<std::uint8_t>>());
  }
  CHECK(refused == 1);
}

TEST_CASE("a prompt that is not UTF-8 is refused by its own byte offset") {
  CHECK_THROWS_WITH_AS(encode_prompt(test::small_tokenizer(), diffusers_v1_1_prompt(), "ab\xff", 1),
                       doctest::Contains("byte 2 (0xff)"), Error);
}

TEST_CASE("a prompt with the picture's marker is a bad prompt, which is named with the marker") {
  const auto refused = [](const std::string& prompt, auto... what) {
    try {
      encode_prompt(test::small_tokenizer(), diffusers_v1_1_prompt(), prompt, 1, what...);
    } catch (const Error& problem) {
      CHECK(problem.code() == ErrorCode::bad_prompt);
      return std::string(problem.what());
    }
    return std::string("taken");
  };
  CHECK(refused("say <|image_pad|> in blue").starts_with("the prompt contains <|image_pad|>"));
  CHECK(refused("<|image_pad|>", "the negative prompt").starts_with("the negative prompt contains <|image_pad|>"));
  CHECK(refused("say <|image-pad|> in blue") == "taken");
}

TEST_CASE("of a prompt that is longer than the model takes it is known how long it is, and after which words it ends") {
  const auto words = [](const char* word, int times) {
    std::string text;
    for (int i = 0; i < times; ++i) text += word;
    return text;
  };
  const auto encode = [](const std::string& prompt) {
    return encode_prompt(test::full_tokenizer(), native_prompt(), prompt, 4);
  };
  // Of the 640 the picture takes 4 and its marks 2, and a colon is before them; 5 follow the prompt.
  const EncodedPrompt fits = encode(words(" cat", 640 - 7 - 5));
  CHECK(fits.whole == 640);
  CHECK(!find_cut(test::full_tokenizer(), fits));
  const EncodedPrompt over = encode(words(" cat", 640 - 7 - 4));
  const auto cut = find_cut(test::full_tokenizer(), over);
  REQUIRE(cut);
  CHECK(cut->tokens == 641);
  CHECK(cut->kept == 640);
  const auto long_cut = find_cut(test::full_tokenizer(), encode(words(" cat", 630) + "\n" + words(" dog", 50)));
  REQUIRE(long_cut);
  CHECK(long_cut->tokens == 7 + 630 + 1 + 50 + 5);
  CHECK(long_cut->after.ends_with(" cat cat dog dog"));
  CHECK(long_cut->after.size() <= 60);
  // No word ends where a language has no spaces; no character is cut for that.
  const auto unspaced = find_cut(test::full_tokenizer(), encode(words("猫", 700)));
  REQUIRE(unspaced);
  CHECK(unspaced->after == words("猫", 20));
}

TEST_CASE("a prompt may name special tokens and placeholders") {
  const EncodedPrompt encoded =
      encode_prompt(test::full_tokenizer(), native_prompt(), "<|vision_end|> {prompt} <|im_end|>", 2);
  CHECK(std::ranges::count(encoded.ids, test::full_tokenizer().added_id("<|vision_end|>")) == 2);
  CHECK(std::ranges::count(encoded.ids, test::full_tokenizer().added_id("<|image_pad|>")) == 2);
}

TEST_CASE("another model brings its own chat text as data") {
  PromptConfig config = native_prompt();
  apply_overrides(config,
                  {{"chat", "<|vision_start|><|image_pad|><|vision_end|>{prompt}"},
                   {"quote_start", 0},
                   {"drop_tokens", 1},
                   {"max_length", 4},
                   {"pad", false}},
                  "config.json");
  config.check_drop = false;
  const EncodedPrompt encoded = encode_prompt(test::full_tokenizer(), config, "a cat", 2);
  CHECK(encoded.ids.size() == 6);
  CHECK(encoded.kept == 4);
  CHECK(encoded.length == 4);
  CHECK_THROWS_WITH_AS(apply_overrides(config, {{"drop_tokens", -1}}, "config.json"),
                       doctest::Contains("config.json: 'text.drop_tokens' cannot be -1"), Error);
  config.chat = "{prompt}";
  CHECK_THROWS_WITH_AS(encode_prompt(test::full_tokenizer(), config, "a", 1), doctest::Contains("<|image_pad|> once"),
                       Error);
}
