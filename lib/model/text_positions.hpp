// Where the text encoder's tokens are: text counts on, a picture's tokens share one time and count rows and columns.
// Pure functions. The source is Qwen2_5_VLForConditionalGeneration.get_rope_index of transformers, for at most one
// picture:
// https://github.com/huggingface/transformers/blob/efa7189c5546/src/transformers/models/qwen2_5_vl/modeling_qwen2_5_vl.py
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "model/text_rotary.hpp"
#include "model/vision_windows.hpp"
#include "text/prompt.hpp"

namespace step1x {

// Time, row and column of every token.
using TextPositions = std::array<std::vector<std::int64_t>, 3>;

// Tokens that are not attended do not count and are at 1, 1, 1. Error(failure) where the picture's tokens do not match
// the grid.
TextPositions text_positions(const EncodedPrompt& prompt, PatchGrid grid, const TextEncoderConfig& config);

// (tokens, 1, head_dim / 2): the first angles turn with time, then those with the row, then those with the column.
Rotation text_rotation(const TextPositions& positions, const TextEncoderConfig& config, at::Device device);

}  // namespace step1x
