// A picture as the text encoder's vision tower takes it: resized to a grid of patches, normalized and cut into rows.
// Pure functions. Errors: Error(bad_image) for shapes that the encoder refuses.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "image/resize.hpp"

namespace step1x {

// The released values are the defaults; preprocessor_config.json and config.json may hold others.
struct EncoderPictureConfig {
  std::int64_t min_pixels = 256 * 28 * 28;
  std::int64_t max_pixels = 324 * 28 * 28;  // v1.2: 400 * 28 * 28
  // Resized twice, as v1.0 and v1.1 do: first to the nearest multiples of 28 (qwen_vl_utils), then into the range above
  // (the image processor). v1.2 has the second only.
  bool twice = true;
  int patch_size = 14;
  int merge_size = 2;           // patches per token and side
  int temporal_patch_size = 2;  // a still picture is repeated this often
  std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> deviation{0.26862954, 0.26130258, 0.27577711};
};

// Both sides multiples of `factor`, near the shape of `picture`, with an area within [min_pixels, max_pixels].
// That is smart_resize of qwen_vl_utils and of transformers:
// https://github.com/QwenLM/Qwen2-VL/blob/4a2035c97816/qwen-vl-utils/src/qwen_vl_utils/vision_process.py
// https://github.com/huggingface/transformers/blob/cb0fc56f3cac/src/transformers/models/qwen2_vl/image_processing_qwen2_vl.py
PictureSize smart_resize(PictureSize picture, int factor, std::int64_t min_pixels, std::int64_t max_pixels);

struct EncoderPicture {
  PictureSize size;
  std::vector<std::uint8_t> rgb;
  // In patches. The text takes rows * columns / merge_size^2 tokens for it.
  int grid_rows = 0;
  int grid_columns = 0;
  int tokens = 0;
};

using PictureResize = std::function<std::vector<std::uint8_t>(RgbView, PictureSize)>;

// Resizing only; bicubic. `last`, where given, makes the last step instead of Pillow's filter.
EncoderPicture encoder_picture(RgbView picture, const EncoderPictureConfig& config, const PictureResize& last = {});

// (grid_rows * grid_columns, 3 * temporal_patch_size * patch_size^2), each row one patch as (channel, time, y, x).
// Patches that become one token follow each other: rows run over (token row, token column, patch row, patch column).
std::vector<float> encoder_patches(const EncoderPicture& picture, const EncoderPictureConfig& config);

}  // namespace step1x
