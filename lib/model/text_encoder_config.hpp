// The dimensions of a Qwen2.5-VL text encoder, from its config.json. Both forms that transformers writes are read: text
// dimensions at the top (up to 4.51), or under "text_config" (from 4.52 on). Nothing is assumed about a released size.
//
// Pure but for the file. Errors: Error(model_missing) with file, key and value, also for what the model code does not
// do (another activation, sliding-window attention of the text).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <vector>

namespace step1x {

struct VisionConfig {
  std::int64_t layers = 0;
  std::int64_t hidden = 0;
  std::int64_t intermediate = 0;
  std::int64_t heads = 0;
  std::int64_t channels = 3;
  std::int64_t patch_size = 14;
  std::int64_t merge_size = 2;  // patches per token and side
  std::int64_t temporal_patch_size = 2;
  std::int64_t window_size = 112;                   // pixels
  std::vector<std::int64_t> full_attention_layers;  // the others attend within windows

  std::int64_t head_dim() const { return hidden / heads; }
  // Values of one patch: channel, time, y, x.
  std::int64_t patch_values() const { return channels * temporal_patch_size * patch_size * patch_size; }
  // Width of the patches of one token side by side.
  std::int64_t merged() const { return hidden * merge_size * merge_size; }
  // Merged tokens along one side of a window.
  std::int64_t window_tokens() const { return window_size / (patch_size * merge_size); }
};

struct TextEncoderConfig {
  std::int64_t layers = 0;
  std::int64_t hidden = 0;
  std::int64_t intermediate = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t vocabulary = 0;
  double norm_epsilon = 1e-6;
  double rope_theta = 1e6;
  // How many of the head_dim / 2 angles turn with time, row and column.
  std::array<std::int64_t, 3> rope_sections{};
  std::int64_t image_token = 0;
  std::int64_t vision_start_token = 0;
  VisionConfig vision;

  std::int64_t head_dim() const { return hidden / heads; }
};

TextEncoderConfig read_text_encoder_config(const std::filesystem::path& path);

}  // namespace step1x
