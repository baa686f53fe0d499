// That a job computes with no more memory than the planner was told, stage by stage, and that the planner is not told
// many times too much, which would keep models off cards that they fit on.
#include "model/activation_size.hpp"

#include <ATen/core/grad_mode.h>

#include "base/size.hpp"
#include "model/pipeline.hpp"
#include "support/tensor_memory.hpp"
// clang-format off: after libtorch
#include "support/doctest_with_torch.hpp"
// clang-format on

using namespace step1x;

namespace {

struct Stages {
  std::size_t text_encoder = 0;
  std::size_t transformer = 0;
  std::size_t vae = 0;
};

// What each stage held at most, less the weights.
Stages measure(const Pipeline& pipeline, int side, int steps, test::TensorMemory& memory) {
  const std::size_t before = memory.now();
  Stages stages;
  const auto take = [&] {
    const std::size_t most = memory.peak() - before;
    memory.restart();
    return most;
  };
  JobOptions job;
  job.prompt = "make the sky red";
  job.steps = steps;
  job.observe = [&](std::string_view name, const at::Tensor&) {
    if (name == "reference_latents") take();
    if (name == "text.1") stages.text_encoder = take();
    if (name == "decoded") stages.vae = take();
  };
  job.denoise.after_step = [&](int step, const at::Tensor&, const at::Tensor&) {
    if (step + 1 == steps) stages.transformer = take();
  };
  const std::vector<std::uint8_t> pixels(static_cast<std::size_t>(side) * static_cast<std::size_t>(side) * 3, 90);
  pipeline.edit({side, side, pixels}, side, job);
  return stages;
}

}  // namespace

TEST_CASE("each stage takes at most what is planned for it, and not a small part of it") {
  const at::NoGradGuard no_gradients;
  const ModelLayout layout = find_layout(std::filesystem::path(STEP1X_GOLDEN_DIR) / "bundle");
  const ModelFiles files = open_model(layout);
  const Pipeline pipeline(layout);
  test::TensorMemory memory;
  for (const int side : {256, 512}) {
    constexpr int kSteps = 4;
    const Stages found = measure(pipeline, side, kSteps, memory);
    const ActivationSize planned = activation_size(files, {side, kSteps, false}, at::kFloat);
    const auto check = [&](const char* stage, std::size_t measured, std::uint64_t estimate) {
      MESSAGE(std::string(stage) << " at " << side << ": " << format_size(measured) << ", planned "
                                 << format_size(estimate));
      CHECK(measured <= estimate);
      CHECK(measured >= estimate / 5);
    };
    check("text encoder", found.text_encoder, planned.text_encoder);
    check("transformer", found.transformer, planned.transformer);
    check("vae", found.vae, planned.vae);
  }
}
