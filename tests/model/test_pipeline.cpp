// What ends a job of the whole model, on the small models of the reference.
#include "model/pipeline.hpp"

#include <c10/core/InferenceMode.h>

#include <map>
#include <optional>

#include "base/error.hpp"
#include "support/model_copy.hpp"
// clang-format off: after libtorch
#include "support/golden.hpp"
#include "support/doctest_with_torch.hpp"
// clang-format on

using namespace step1x;
using step1x::test::kGolden;
using step1x::test::ModelCopy;

namespace {

Picture edit(const Pipeline& pipeline, const JobOptions& job) {
  const c10::InferenceMode no_gradients;
  std::vector<std::uint8_t> pixels(std::size_t{64} * 64 * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 7 % 251);
  return pipeline.edit({64, 64, pixels}, 64, job);
}

JobOptions job_of(const std::string& prompt, const std::string& negative = "") {
  JobOptions job;
  job.prompt = prompt;
  job.negative_prompt = negative;
  job.steps = 2;
  return job;
}

// What the job ends with; none: a picture.
std::optional<Error> problem_of(const Pipeline& pipeline, const JobOptions& job) {
  try {
    edit(pipeline, job);
    return std::nullopt;
  } catch (const Error& problem) {
    return problem;
  }
}

const Pipeline& native() {
  static const Pipeline pipeline(find_layout(kGolden / "bundle"));
  return pipeline;
}

// The small model takes 64 tokens.
const std::string kLong(400, 'x');

}  // namespace

TEST_CASE("a prompt that is longer than the model takes is refused before anything is computed, with both numbers") {
  JobOptions job = job_of(kLong);
  job.before_layer = [](const at::Tensor&) { FAIL("the text encoder runs"); };
  job.before_vae_block = [] { FAIL("the VAE runs"); };
  const auto problem = problem_of(native(), job);
  REQUIRE(problem);
  CHECK(problem->code() == ErrorCode::bad_prompt);
  const std::string text = problem->what();
  CAPTURE(text);
  CHECK(text.starts_with("the prompt is too long: it has "));
  CHECK(text.find("this model takes 64;") != std::string::npos);
  CHECK(text.find("--truncate") != std::string::npos);
}

TEST_CASE("the negative prompt is held to the same limit, where there is guidance") {
  JobOptions job = job_of("red", kLong);
  const auto problem = problem_of(native(), job);
  REQUIRE(problem);
  CHECK(problem->code() == ErrorCode::bad_prompt);
  CHECK(std::string(problem->what()).starts_with("the negative prompt is too long"));
  job.guidance = -1;
  CHECK(!problem_of(native(), job));
}

TEST_CASE("a prompt that may be truncated is cut where the model's limit is, and that is told") {
  std::map<std::string, PromptCut> cuts;
  const auto made = [&](const std::string& prompt, const std::string& negative) {
    JobOptions job = job_of(prompt, negative);
    job.truncate = true;
    cuts.clear();
    job.cut = [&](std::string_view what, const PromptCut& cut) { cuts[std::string(what)] = cut; };
    return edit(native(), job).rgb;
  };
  const auto first = made(kLong + " make it red", kLong);
  REQUIRE(cuts.size() == 2);
  CHECK(cuts["prompt"].kept == 64);
  CHECK(cuts["prompt"].tokens > cuts["negative_prompt"].tokens);
  CHECK(cuts["prompt"].after.starts_with("xxx"));
  CHECK(made(kLong + " make it darker", kLong) == first);
  CHECK(made("make it red", "") != first);
  CHECK(cuts.empty());
}

TEST_CASE("a stage that gives NaN or infinity is an error of the model's files that names the stage") {
  struct Damage {
    const char* file;
    const char* tensor;
    const char* stage;
  };
  for (const Damage& damage :
       {Damage{"Qwen2.5-VL-7B-Instruct/model.safetensors", "model.norm.weight", "the text encoder gave"},
        Damage{"Qwen2.5-VL-7B-Instruct/model.safetensors", "visual.patch_embed.proj.weight", "the text encoder gave"},
        Damage{"step1x-edit-v1p1-official.safetensors", "single_blocks.1.linear2.weight",
               "the transformer, by step 1 of 2, gave"},
        Damage{"step1x-edit-v1p1-official.safetensors", "connector.S.input_embedder.weight",
               "the transformer, by step 1 of 2, gave"},
        Damage{"vae.safetensors", "encoder.mid.block_1.conv1.weight", "the VAE's encoder gave"},
        Damage{"vae.safetensors", "decoder.up.0.block.0.conv1.weight", "the VAE's decoder gave"},
        Damage{"vae.safetensors", "decoder.conv_out.bias", "the VAE's decoder gave"}}) {
    CAPTURE(std::string(damage.tensor));
    const ModelCopy model(kGolden / "bundle");
    model.spoil(damage.file, damage.tensor, 0xff);
    const auto problem = problem_of(Pipeline(find_layout(model.path())), job_of("red"));
    REQUIRE(problem);
    const std::string text = problem->what();
    CAPTURE(text);
    CHECK(problem->code() == ErrorCode::model_missing);
    CHECK(text.starts_with(model.path().string()));
    CHECK(text.find(damage.stage) != std::string::npos);
  }
}

TEST_CASE("numbers that overflow are an error too, and not a black picture") {
  const ModelCopy model(kGolden / "bundle");
  model.spoil("step1x-edit-v1p1-official.safetensors", "img_in.weight", 0x7f);
  const auto problem = problem_of(Pipeline(find_layout(model.path())), job_of("red"));
  REQUIRE(problem);
  CHECK(std::string(problem->what()).find("the transformer, by step 1 of 2, gave NaN or infinity") !=
        std::string::npos);
}

TEST_CASE("a job that is cancelled while the VAE encodes or decodes ends before its next block") {
  for (const std::string_view after : {"vae_input", "step"}) {
    for (const bool tiled : {false, true}) {
      CAPTURE(std::string(after));
      CAPTURE(tiled);
      bool begun = false;
      int blocks = 0;
      JobOptions job = job_of("red");
      if (tiled) job.tiling = VaeTiling{4, 2};
      job.observe = [&](std::string_view name, const at::Tensor&) {
        begun = begun || name == after;
        if (begun && (name == "moments" || name == "decoded")) FAIL("the VAE went to its end");
      };
      job.denoise.after_step = [&](int step, const at::Tensor&, const at::Tensor&) {
        begun = begun || (after == "step" && step + 1 == job.steps);
      };
      // In the middle of the VAE's work, not at its beginning.
      job.before_vae_block = [&] {
        if (begun && ++blocks == 5) throw Error(ErrorCode::cancelled, "cancelled");
      };
      const auto problem = problem_of(native(), job);
      REQUIRE(problem);
      CHECK(problem->code() == ErrorCode::cancelled);
      CHECK(blocks == 5);
    }
  }
}

TEST_CASE("whether a job is wanted is asked before every block of the VAE") {
  int blocks = 0;
  const at::Tensor picture = at::zeros({1, 3, 32, 32});
  const VaeConfig& config = native().vae().config();
  const at::Tensor moments = native().vae().moments(picture, at::kFloat, {}, [&] { ++blocks; });
  // First and last convolution, the three in the middle, and the levels with what is between them.
  CHECK(blocks == 2 + 3 + config.levels() * config.blocks + config.levels() - 1);
  blocks = 0;
  native().vae().decode(moments.narrow(1, 0, config.latent_channels), at::kFloat, {}, [&] { ++blocks; });
  CHECK(blocks == 2 + 3 + config.levels() * (config.blocks + 1) + config.levels() - 1);
}
