// The two trainings, either of which goes on from its state. They do not need each other's result: the VAE's encoder
// is what it is from the first step on.
#pragma once

#include <cstdint>
#include <filesystem>

#include "demo/random.hpp"

namespace step1x::train {

struct Options {
  std::filesystem::path model;        // a diffusers folder with configurations; weights are written to it
  std::filesystem::path photographs;  // of pictures to learn from
  std::filesystem::path state;        // a folder
  std::int64_t steps = 0;
  std::int64_t batch = 0;
  std::size_t drawings = 0;
  std::uint64_t seed = 0;
  double rate = 0;
};

// Chance of a step that is the same whenever that step is done; seeds libtorch's own too.
demo::Random random_of_step(const Options& options, std::int64_t step);

// Makes the encoder, and trains the decoder on it.
void train_vae(const Options& options);

// Text encoder, connector and transformer, on the latents of the VAE that is there.
void train_edits(const Options& options);

}  // namespace step1x::train
