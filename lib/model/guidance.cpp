#include "model/guidance.hpp"

#include <array>

namespace step1x {

namespace {

struct Named {
  GuidanceDamping damping;
  std::string_view name;
};
constexpr std::array kNames{Named{GuidanceDamping::all, "all"}, Named{GuidanceDamping::early, "early"},
                            Named{GuidanceDamping::off, "off"}};

constexpr double kPower = 0.4;
constexpr double kEarly = 0.93;

}  // namespace

std::optional<GuidanceDamping> guidance_damping(std::string_view name) {
  for (const Named& each : kNames) {
    if (each.name == name) return each.damping;
  }
  return std::nullopt;
}

std::string_view name(GuidanceDamping damping) {
  return kNames[static_cast<std::size_t>(damping)].name;
}

GuidanceDamping default_damping(LayoutKind layout) {
  return layout == LayoutKind::flat ? GuidanceDamping::early : GuidanceDamping::all;
}

// The native code compares t with 0.93 (inference.py, ImageGenerator.denoise). The diffusers pipelines compare a time
// in 0..1000 with the same number, so that all steps are damped:
// https://github.com/Peyton-Chen/diffusers/blob/16900b755f21/src/diffusers/pipelines/step1x_edit/pipeline_step1x_edit.py#L969
bool is_damped(GuidanceDamping damping, double t) {
  return damping == GuidanceDamping::all || (damping == GuidanceDamping::early && t > kEarly);
}

// ImageGenerator.process_diff_norm: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/inference.py#L207-L216
at::Tensor damping_divisor(const at::Tensor& norm) {
  return at::where(norm > 1, norm.pow(kPower), at::ones_like(norm));
}

at::Tensor guide(const at::Tensor& cond, const at::Tensor& uncond, double scale, bool damped) {
  const at::Tensor base = uncond.to(at::kFloat);
  at::Tensor direction = cond.to(at::kFloat) - base;
  if (damped) direction = direction / damping_divisor(direction.norm(2, -1, /*keepdim=*/true));
  return base + direction * scale;
}

at::Tensor euler_step(const at::Tensor& latents, const at::Tensor& velocity, double t, double next) {
  return latents.to(at::kFloat) + velocity.to(at::kFloat) * (next - t);
}

}  // namespace step1x
