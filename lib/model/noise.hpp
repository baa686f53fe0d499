// The random tensors of an edit, in the order in which each layout's reference draws them. Not thread-safe within one
// call; each call has generators of its own, so that nothing else in the process changes them.
//
// Native: the picture's noise is the first draw of a generator seeded with `seed`; the noise of the VAE's posterior
// comes from another generator, which the reference leaves to chance and which is seeded here, so that a seed names one
// picture. Diffusers: one generator; the posterior's noise first, then the picture's.
#pragma once

#include <cstdint>
#include <optional>

#include "nn/aten.hpp"
#include "weights/layout.hpp"

namespace step1x {

struct NoiseSeeds {
  std::uint64_t latents = 0;
  // Native only; not set: one that follows from `latents` and is not it, because equal seeds would give equal noise.
  std::optional<std::uint64_t> posterior;
};

struct Noise {
  at::Tensor posterior;  // undefined if not wanted
  at::Tensor latents;
};

// Both of `shape`, (1, latent_channels, h, w), drawn on the device and in the type of `options`.
Noise draw_noise(LayoutKind layout, const NoiseSeeds& seeds, at::IntArrayRef shape, bool with_posterior,
                 const at::TensorOptions& options);

}  // namespace step1x
