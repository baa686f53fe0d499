// Classifier-free guidance, with the damping that keeps the first steps from overshooting. Pure functions, any thread.
#pragma once

#include <optional>
#include <string_view>

#include "nn/aten.hpp"
#include "weights/layout.hpp"

namespace step1x {

enum class GuidanceDamping {
  all,    // every step, which is what the diffusers pipelines do
  early,  // while t > 0.93, which is what the native code does
  off,
};

std::optional<GuidanceDamping> guidance_damping(std::string_view name);
std::string_view name(GuidanceDamping damping);
// What the layout's reference does.
GuidanceDamping default_damping(LayoutKind layout);
// Whether a step that starts at t is damped.
bool is_damped(GuidanceDamping damping, double t);

// norm^0.4 where the norm is more than 1, else 1. (..., 1) -> (..., 1)
at::Tensor damping_divisor(const at::Tensor& norm);
// uncond + scale * (cond - uncond) / divisor, in float32. cond, uncond: (batch, n, channels)
at::Tensor guide(const at::Tensor& cond, const at::Tensor& uncond, double scale, bool damped);

// One Euler step along the velocity: from t to next. In float32.
at::Tensor euler_step(const at::Tensor& latents, const at::Tensor& velocity, double t, double next);

}  // namespace step1x
