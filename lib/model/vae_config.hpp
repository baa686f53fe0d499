// The VAE's dimensions, and the names of its tensors in each layout. Pure functions.
// Errors: Error(model_missing) with file, key, expected and found.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/block_counts.hpp"
#include "nn/weights.hpp"
#include "weights/layout.hpp"

namespace step1x {

// The defaults are the released dimensions.
struct VaeConfig {
  std::int64_t in_channels = 3;
  std::int64_t out_channels = 3;
  std::int64_t latent_channels = 16;
  std::vector<std::int64_t> channels{128, 256, 512, 512};  // of each level, the finest first
  std::int64_t blocks = 2;                                 // a level, one more in the decoder
  std::int64_t groups = 32;                                // of the norms
  double scale = 0.3611;
  double shift = 0.1159;

  std::int64_t levels() const { return static_cast<std::int64_t>(channels.size()); }
  // Pixels per latent element and side.
  std::int64_t factor() const { return std::int64_t{1} << (levels() - 1); }
};

VaeConfig vae_config(const ModelLayout& layout);

// What of them counts blocks, for check_counts().
std::vector<BlockCount> block_counts(const VaeConfig& config, LayoutKind layout);

// The tensors of the VAE under the names that lib/model uses, which are the native ones.
LoadTable vae_table(const VaeConfig& config, LayoutKind layout);

}  // namespace step1x
