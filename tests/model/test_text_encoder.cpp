#include "golden_text.hpp"
#include "support/temp_dir.hpp"
// clang-format off: after libtorch
#include "support/golden.hpp"
#include "support/doctest_with_torch.hpp"
// clang-format on

using namespace step1x;
using namespace step1x::test;
using nlohmann::json;
using step1x::test::kGolden;

namespace {

json manifest(const std::filesystem::path& folder) {
  return json::parse(read_file(folder / "manifest.json"));
}

void check_all(const Comparisons& comparisons, std::size_t at_least) {
  CHECK(comparisons.size() >= at_least);
  for (const Comparison& each : comparisons) {
    CAPTURE(each.what);
    CHECK(each.error <= each.tolerance);
  }
}

}  // namespace

TEST_CASE("the encoder of the flat folder has the reference's values, block by block") {
  check_all(check_qwen(kGolden, manifest(kGolden)["cases"]["qwen.safetensors"]), 60);
}

TEST_CASE("the same weights in shards without the output head have the same values") {
  check_all(check_qwen(kGolden, manifest(kGolden)["cases"]["qwen.safetensors"], kGolden / "qwen-sharded"), 60);
}

TEST_CASE("the encoders of the diffusers folders have the reference's values, from the picture on") {
  for (const std::string version : {"diffusers-v1.1", "diffusers-v1.2"}) {
    CAPTURE(version);
    check_all(check_diffusers_text(kGolden / version), 7);
  }
}

TEST_CASE("windows and rotary angles at the released size are the reference's") {
  const json cases = manifest(kGolden / "full-size")["cases"];
  check_all(check_vision_windows(kGolden / "full-size/vision-windows.safetensors", cases["vision-windows.safetensors"]),
            20);
  check_all(check_mrope(kGolden / "full-size/mrope.safetensors", cases["mrope.safetensors"]), 16);
}

TEST_CASE("prompts and picture sizes of the released model give the reference's ids and grids") {
  const Tokenizer tokenizer(kGolden / "qwen2-tokenizer/tokenizer.json");
  check_all(check_prompt_ids(kGolden / "prompt-ids.safetensors", manifest(kGolden)["cases"]["prompt-ids.safetensors"],
                             tokenizer),
            150);
  const json cases = manifest(kGolden / "full-size")["cases"];
  check_all(check_prompt_ids(kGolden / "full-size/prompt-ids-long.safetensors", cases["prompt-ids-long.safetensors"],
                             tokenizer),
            40);
}
