// The dimensions of a transformer and its connector, and the names of its tensors in each layout. Pure functions.
// Errors: Error(model_missing) with file, key, expected and found.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "nn/block_counts.hpp"
#include "nn/weights.hpp"
#include "weights/layout.hpp"

namespace step1x {

struct ConnectorConfig {
  std::int64_t in_channels = 3584;  // of the text encoder's states
  std::int64_t hidden_size = 4096;
  std::int64_t heads = 32;
  std::int64_t depth = 2;
  std::int64_t timestep_dim = 256;
  bool scaled_mean = false;  // v1.0: the pooled mean is multiplied by 1 + scale_factor
};

// The defaults are the released dimensions.
struct TransformerConfig {
  std::int64_t in_channels = 64;  // of a token of packed latents
  std::int64_t out_channels = 64;
  std::int64_t pooled_channels = 768;  // of the connector's second output
  std::int64_t hidden_size = 3072;
  std::int64_t mlp_size = 12288;
  std::int64_t heads = 24;
  std::int64_t depth = 19;
  std::int64_t single_depth = 38;
  std::vector<std::int64_t> axes_dim{16, 56, 56};
  double theta = 10000;
  std::int64_t timestep_dim = 256;
  bool qkv_bias = true;
  bool text_token_mapping = false;  // v1.2: quoted characters' own embeddings are added after the connector
  ConnectorConfig connector;
  // What is added to the place of a reference token to tell it from a target token: v1.0 nothing, v1.1 one on every
  // axis, v1.2 one on the time axis.
  std::array<double, 3> reference_offset{1, 1, 1};
};

// From the layout's config.json; the released dimensions where it has none.
TransformerConfig transformer_config(const ModelLayout& layout);

// What of them counts blocks, for check_counts().
std::vector<BlockCount> block_counts(const TransformerConfig& config, LayoutKind layout);

// The tensors of the transformer under the names that lib/model uses, which are the native ones.
LoadTable transformer_table(const TransformerConfig& config, LayoutKind layout);

}  // namespace step1x
