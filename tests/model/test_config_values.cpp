// Whatever number of a model's files is replaced, by whatever: either it is refused with file and key before anything
// grows by it, or the model is what it was.
#include <c10/core/InferenceMode.h>
#include <sys/resource.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.hpp"
#include "model/pipeline.hpp"
#include "support/model_copy.hpp"
// clang-format off: after libtorch
#include "support/golden.hpp"
#include "support/doctest_with_torch.hpp"
// clang-format on

using namespace step1x;
using nlohmann::json;
using step1x::test::kGolden;
using step1x::test::ModelCopy;

namespace {

using Key = json::json_pointer;

// Each number, and each list of numbers as a whole.
void add_numbers(const json& value, const Key& at, std::vector<Key>& keys) {
  if (value.is_number()) keys.push_back(at);
  if (value.is_array() && !value.empty() && value.front().is_number()) keys.push_back(at);
  for (const auto& [name, each] : value.items()) {
    if (value.is_array()) add_numbers(each, at / std::stoul(name), keys);
    if (value.is_object()) add_numbers(each, at / name, keys);
  }
}

const std::vector<std::optional<json>>& replacements() {
  static const std::vector<std::optional<json>> all{
      0,   -1,      std::int64_t{1} << 31, std::int64_t{1'000'000'000'000'000'000}, 1e18,
      "x", nullptr, json::array(),         json(std::vector<int>(500'000, 7)),      std::nullopt};
  return all;
}

json replaced(json content, const Key& key, const std::optional<json>& value) {
  if (value) {
    content[key] = *value;
  } else if (json& parent = content[key.parent_pointer()]; parent.is_array()) {
    parent.erase(std::stoul(key.back()));
  } else {
    parent.erase(key.back());
  }
  return content;
}

// Numbers that no tensor and no other file knows of: of those that can be meant each gives its own picture.
bool is_free(const std::string& key) {
  for (const char* part : {"theta", "scale_factor", "scaling_factor", "shift", "seq_len", "/text/", "image_mean",
                           "image_std", "pixels", "_edge", "rms_norm_eps", "fullatt_block_indexes"}) {
    if (key.find(part) != std::string::npos) return true;
  }
  return false;
}

bool names(const std::string& message, const Key& key) {
  for (Key at = key; !at.empty(); at.pop_back()) {
    if (message.find(at.back()) != std::string::npos && at.back().find_first_not_of("0123456789") != std::string::npos)
      return true;
  }
  return false;
}

std::vector<std::uint8_t> picture_of_model(const std::filesystem::path& folder) {
  const c10::InferenceMode no_gradients;
  const std::vector<std::uint8_t> pixels(std::size_t{32} * 32 * 3, 100);
  JobOptions job;
  job.prompt = "red";
  job.steps = 1;
  job.guidance = 4;
  return Pipeline(find_layout(folder)).edit({32, 32, pixels}, 32, job).rgb;
}

// So that a wrong count ends in bad_alloc here, and not in the machine's memory. A sanitizer's own takes far more.
void limit_memory() {
#ifndef __SANITIZE_ADDRESS__
  std::ifstream status("/proc/self/statm");
  std::uint64_t pages = 0;
  status >> pages;
  const rlim_t most = pages * 4096 + (std::uint64_t{400} << 20);
  const rlimit limit{most, most};
  REQUIRE(::setrlimit(RLIMIT_AS, &limit) == 0);
#endif
}

void check_model(const char* folder, const std::vector<std::string>& files, std::size_t stride) {
  const ModelCopy model(kGolden / folder);
  const std::vector<std::uint8_t> expected = picture_of_model(model.path());
  std::size_t count = 0;
  for (const std::string& file : files) {
    const json content = json::parse(model.original(file));
    std::vector<Key> keys;
    add_numbers(content, Key(), keys);
    for (const Key& key : keys) {
      for (const std::optional<json>& value : replacements()) {
        if (++count % stride != 0) continue;
        const std::string what = value ? value->dump().substr(0, 30) : "missing";
        CAPTURE(file);
        CAPTURE(key.to_string());
        CAPTURE(what);
        model.replace(file, replaced(content, key, value).dump());
        try {
          const bool same = picture_of_model(model.path()) == expected;
          CHECK((same || is_free(key.to_string())));
        } catch (const Error& problem) {
          const std::string message = problem.what();
          CAPTURE(message);
          CHECK(message.size() < 1000);
          // Prompt or picture may be given so few or so many tokens that no prompt fits.
          if (problem.code() == ErrorCode::bad_prompt && is_free(key.to_string())) continue;
          CHECK(problem.code() == ErrorCode::model_missing);
          CHECK(message.find(file) != std::string::npos);
          CHECK(names(message, key));
        } catch (const std::exception& problem) {
          FAIL_CHECK(problem.what());
        }
      }
    }
    model.restore(file);
  }
  CHECK(count > 100);
}

}  // namespace

TEST_CASE("a number in a model's file is refused with file and key, or changes nothing") {
  // Coprime to the number of replacements: in the short form too each key and each replacement has its turns.
  const std::size_t stride = std::getenv("STEP1X_LONG") != nullptr ? 1 : 19;
  picture_of_model(kGolden / "bundle");
  limit_memory();
  check_model("bundle",
              {"config.json", "Qwen2.5-VL-7B-Instruct/config.json", "Qwen2.5-VL-7B-Instruct/preprocessor_config.json"},
              stride);
  for (const char* version : {"diffusers-v1.1/model", "diffusers-v1.2/model"}) {
    check_model(version,
                {"transformer/config.json", "vae/config.json", "scheduler/scheduler_config.json",
                 "text_encoder/config.json", "processor/preprocessor_config.json"},
                stride * 7);
  }
}

TEST_CASE("a model's file that is nested without end is refused") {
  const ModelCopy model(kGolden / "bundle");
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  for (const char* file : {"config.json", "Qwen2.5-VL-7B-Instruct/config.json", "Qwen2.5-VL-7B-Instruct/tokenizer.json",
                           "Qwen2.5-VL-7B-Instruct/preprocessor_config.json"}) {
    CAPTURE(std::string(file));
    model.replace(file, "{\"text\": " + deep + "}");
    CHECK_THROWS_WITH_AS(open_model(find_layout(model.path())), doctest::Contains("nested more than 64 levels"), Error);
    model.restore(file);
  }
}

TEST_CASE("an object of a model's file that is something else is refused with file and key") {
  for (const json& other : {json("x"), json(5), json(nullptr), json::array({1})}) {
    const ModelCopy flat(kGolden / "bundle");
    const ModelCopy diffusers(kGolden / "diffusers-v1.1/model");
    CAPTURE(other.dump());
    for (const char* section : {"dit", "connector", "vae", "text"}) {
      json content = json::parse(flat.original("config.json"));
      content[section] = other;
      flat.replace("config.json", content.dump());
      CHECK_THROWS_WITH_AS(open_model(find_layout(flat.path())), doctest::Contains(section), Error);
    }
    json index = json::parse(diffusers.original("model_index.json"));
    index["step1x"] = other;
    diffusers.replace("model_index.json", index.dump());
    CHECK_THROWS_WITH_AS(open_model(find_layout(diffusers.path())), doctest::Contains("model_index.json: 'step1x' is"),
                         Error);
  }
}
