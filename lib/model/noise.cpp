#include "model/noise.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/ops/randn.h>

namespace step1x {

namespace {

at::Generator generator(std::uint64_t seed, at::Device device) {
  if (device.is_cpu()) return at::detail::createCPUGenerator(seed);
  at::Generator copy = at::globalContext().defaultGenerator(device).clone();
  copy.set_current_seed(seed);
  return copy;
}

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): other bits for every seed.
std::uint64_t another(std::uint64_t seed) {
  std::uint64_t z = seed + 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

}  // namespace

Noise draw_noise(LayoutKind layout, const NoiseSeeds& seeds, at::IntArrayRef shape, bool with_posterior,
                 const at::TensorOptions& options) {
  at::Generator latents = generator(seeds.latents, options.device());
  Noise noise;
  if (with_posterior) {
    const bool shared = layout == LayoutKind::diffusers;
    noise.posterior = at::randn(
        shape, shared ? latents : generator(seeds.posterior.value_or(another(seeds.latents)), options.device()),
        options);
  }
  noise.latents = at::randn(shape, latents, options);
  return noise;
}

}  // namespace step1x
