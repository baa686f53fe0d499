// The same pictures come out wherever the weights are: on the device, there in turns, or streamed through it block by
// block. A race of the copies with the computation would be a wrong picture, so copies and computation are delayed at
// random.
#include <c10/core/InferenceMode.h>

#include <array>
#include <cstdlib>

#include "base/error.hpp"
#include "model/activation_size.hpp"
#include "model/pipeline.hpp"
#include "nn/device_part.hpp"
#include "support/delays.hpp"
// clang-format off: after libtorch
#include "support/golden.hpp"
#include "support/doctest_with_torch.hpp"
// clang-format on

using namespace step1x;
using step1x::test::delays;
using step1x::test::kGolden;

namespace {

constexpr std::uint64_t kAmple = std::uint64_t{1} << 30;

// A model as a host arena has it: every part in one range of memory.
class HostModel {
 public:
  explicit HostModel(const std::filesystem::path& folder)
      : files_(std::make_shared<const ModelFiles>(open_model(find_layout(folder)))),
        placements_{Placement(files_->text_encoder.table, at::kFloat), Placement(files_->transformer.table, at::kFloat),
                    Placement(files_->vae.table, at::kFloat)} {
    const std::array checkpoints{&files_->text_encoder.checkpoint, &files_->transformer.checkpoint,
                                 &files_->vae.checkpoint};
    for (std::size_t i = 0; i < placements_.size(); ++i) {
      const auto bytes = std::make_shared<std::vector<std::byte>>(placements_[i].bytes());
      placements_[i].fill(*checkpoints[i], 0, placements_[i].blocks().size(), bytes->data(), {});
      parts_[i] = {&placements_[i], *bytes, bytes, folder.string()};
    }
  }

  ModelSize size() const { return {part_size(placements_[0]), part_size(placements_[1]), placements_[2].bytes()}; }
  const ModelFiles& files() const { return *files_; }

  Picture edit(const Plan& plan, const DeviceMemory& memory, const BlockRing::Point& point = {}) const {
    const std::array runs{plan.text_encoder, plan.transformer};
    std::vector<Weights> resident;
    const auto place = [&](ModelPart part) {
      const auto i = static_cast<std::size_t>(part);
      if (plan.kind != PlanKind::stream || part == ModelPart::vae) return place_whole(parts_[i], memory);
      return place_streamed(parts_[i], runs.at(i), memory, {}, point);
    };
    if (plan.kind == PlanKind::resident) {
      for (const ModelPart part : {ModelPart::text_encoder, ModelPart::transformer, ModelPart::vae}) {
        resident.push_back(place(part));
      }
    }
    const Pipeline pipeline(
        files_,
        [&](ModelPart part) { return resident.empty() ? place(part) : resident.at(static_cast<std::size_t>(part)); },
        {at::kCPU, at::kFloat});
    JobOptions job;
    job.prompt = "make the sky red";
    job.steps = 2;
    job.seeds.latents = 5;
    if (point) job.denoise.after_block = [&] { point("block"); };
    std::vector<std::uint8_t> pixels(std::size_t{64} * 64 * 3);
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 7 % 251);
    return pipeline.edit({64, 64, pixels}, 64, job);
  }

 private:
  std::shared_ptr<const ModelFiles> files_;
  std::array<Placement, 3> placements_;
  std::array<HostPart, 3> parts_;
};

const HostModel& native() {
  static const HostModel model(kGolden / "bundle");
  return model;
}

Plan planned(const HostModel& model, PlanKind kind, std::uint64_t free = kAmple) {
  return make_plan({.model = model.size(), .free = free, .wanted = kind});
}

// Nothing but what moves: two slots for each run.
Plan tightest(const HostModel& model) {
  return planned(model, PlanKind::stream, 0);
}

}  // namespace

TEST_CASE("the runs of blocks are those of the text encoder, its vision tower, the modulations and the transformer") {
  const ModelSize size = native().size();
  const ModelFiles& files = native().files();
  REQUIRE(size.text_encoder.runs.size() == 2);
  CHECK(size.text_encoder.runs[0].size() == static_cast<std::size_t>(files.text_encoder.config.vision.layers));
  CHECK(size.text_encoder.runs[1].size() == static_cast<std::size_t>(files.text_encoder.config.layers));
  REQUIRE(size.transformer.runs.size() == 2);
  const auto blocks = static_cast<std::size_t>(files.transformer.config.depth + files.transformer.config.single_depth);
  CHECK(size.transformer.runs[0].size() == blocks);
  CHECK(size.transformer.runs[1].size() == blocks);
}

TEST_CASE("every plan gives the same picture, within the memory that it said it needs") {
  for (const char* folder : {"bundle", "diffusers-v1.1/model", "diffusers-v1.2/model"}) {
    const HostModel model(kGolden / folder);
    const DeviceMemory ample = DeviceMemory::simulate(kAmple);
    const Picture expected = model.edit(planned(model, PlanKind::resident), ample);
    CHECK(ample.counters().allocated_bytes == 0);
    for (const Plan& plan : {planned(model, PlanKind::resident), planned(model, PlanKind::staged),
                             planned(model, PlanKind::stream), tightest(model)}) {
      CAPTURE(std::string(folder));
      CAPTURE(name(plan.kind));
      const DeviceMemory memory = DeviceMemory::simulate(plan.needed);
      const Picture found = model.edit(plan, memory);
      CHECK(found.rgb == expected.rgb);
      CHECK(memory.counters().allocated_bytes == 0);
      CHECK_THROWS_AS(model.edit(plan, DeviceMemory::simulate(plan.needed - 1)), Error);
    }
  }
}

TEST_CASE("weights can be streamed to who computes without gradients") {
  const c10::InferenceMode no_gradients;
  const DeviceMemory memory = DeviceMemory::simulate(kAmple);
  CHECK(native().edit(tightest(native()), memory).rgb ==
        native().edit(planned(native(), PlanKind::staged), memory).rgb);
}

TEST_CASE("delays at every moment change nothing") {
  const DeviceMemory memory = DeviceMemory::simulate(kAmple);
  const Picture expected = native().edit(planned(native(), PlanKind::resident), memory);
  const unsigned times = std::getenv("STEP1X_LONG") != nullptr ? 200 : 25;
  for (unsigned seed = 0; seed < times; ++seed) {
    CAPTURE(seed);
    CHECK(native().edit(tightest(native()), memory, delays(seed)).rgb == expected.rgb);
  }
}
