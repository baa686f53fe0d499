// Tensors to compute with, and how far two of them are apart.
#pragma once

#include "model/noise.hpp"
#include "nn/aten.hpp"

namespace step1x::test {

// Normally distributed, float32, the same for the same seed.
inline at::Tensor random(at::IntArrayRef shape, std::uint64_t seed) {
  return draw_noise(LayoutKind::flat, {seed, {}}, shape, false, at::kFloat).latents;
}

inline double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

}  // namespace step1x::test
