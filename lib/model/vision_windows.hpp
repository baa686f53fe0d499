// In which order the vision tower reads a picture: its tokens (squares of merge_size x merge_size patches) are sorted
// into square windows, which most layers do not look out of. Pure functions.
// The source is get_window_index and rot_pos_emb of transformers' Qwen2_5_VisionTransformerPretrainedModel:
// https://github.com/huggingface/transformers/blob/efa7189c5546/src/transformers/models/qwen2_5_vl/modeling_qwen2_5_vl.py
#pragma once

#include <cstdint>
#include <vector>

#include "model/text_encoder_config.hpp"

namespace step1x {

// Sides of a picture in patches, multiples of merge_size.
struct PatchGrid {
  std::int64_t rows = 0;
  std::int64_t columns = 0;

  std::int64_t patches() const { return rows * columns; }
};

struct VisionWindows {
  std::vector<std::int64_t> order;    // tokens (in reading order), window after window
  std::vector<std::int64_t> lengths;  // tokens of each window; none is empty
};

// The reference's: windows in reading order, the last ones of a row or column cut by the picture's edge.
VisionWindows vision_windows(PatchGrid grid, const VisionConfig& config);
// The same windows with those of equal length side by side, so that they can be computed together.
VisionWindows sort_by_length(const VisionWindows& windows);
// Where each token of `order` is in it.
std::vector<std::int64_t> inverse(const std::vector<std::int64_t>& order);

struct PatchPositions {
  std::vector<std::int64_t> rows;
  std::vector<std::int64_t> columns;
};

// Of every patch, tokens in the given order, the patches of a token row by row.
PatchPositions patch_positions(const std::vector<std::int64_t>& order, PatchGrid grid, std::int64_t merge_size);

}  // namespace step1x
