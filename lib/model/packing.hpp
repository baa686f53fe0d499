// Latents to tokens and back, and the tokens' positions. Pure functions, any thread.
#pragma once

#include <array>
#include <cstdint>

#include "nn/aten.hpp"

namespace step1x {

// Side of the square of latent elements that one token holds.
inline constexpr std::int64_t kTokenSide = 2;

// (batch, channels, 2 h, 2 w) -> (batch, h * w, channels * 4), row by row
at::Tensor pack(const at::Tensor& latents);
// (batch, h * w, channels * 4) -> (batch, channels, 2 h, 2 w)
at::Tensor unpack(const at::Tensor& tokens, std::int64_t rows, std::int64_t columns);
// (rows * columns, 3): (time, row, column), float32. Time is 0; `offset` is added to all.
at::Tensor image_ids(std::int64_t rows, std::int64_t columns, const std::array<double, 3>& offset,
                     const at::TensorOptions& options);

}  // namespace step1x
