// Rotary position embedding over several axes, as FLUX has it: each axis of the position turns its own share of a
// head's dimensions, as pairs of neighbours (2i, 2i+1). Pure functions, any thread. Source: Su et al., "RoFormer"
// (arXiv 2104.09864), formula 15; angles = position * theta^(-2i / axis dimension).
#pragma once

#include <vector>

#include "nn/aten.hpp"

namespace step1x {

struct RopeTable {
  at::Tensor cos;  // (batch or 1, n, head_dim / 2), float32
  at::Tensor sin;
};

// ids: (batch or 1, n, axes); axes_dim sums to head_dim. Angles are computed in float64, the table is float32.
RopeTable rope_table(const at::Tensor& ids, const std::vector<std::int64_t>& axes_dim, double theta);

// x: (batch, heads, n, head_dim) -> the same; turned in float32, in the type of x.
at::Tensor apply_rope(const at::Tensor& x, const RopeTable& table);

}  // namespace step1x
