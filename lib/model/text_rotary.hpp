// Rotary positions of the text encoder (the transformer has its own, rope.hpp): each pair of features (i, i + d/2) of a
// head is turned by an angle that grows with the token's position. Angles and rotation are float32 whatever the
// model's type. Pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nn/aten.hpp"

namespace step1x {

// (tokens, 1, d/2) each, float32, on the model's device.
struct Rotation {
  at::Tensor cos;
  at::Tensor sin;
};

// Angles that turn with one coordinate: those of frequencies [first, first + count) of theta^(-2k / dim).
struct RotationPart {
  std::span<const std::int64_t> positions;  // one a token
  std::int64_t first = 0;
  std::int64_t count = 0;
};

// The parts' angles side by side.
Rotation make_rotation(std::span<const RotationPart> parts, double theta, std::int64_t dim, at::Device device);

// x: (tokens, heads, d) -> the same, turned, in the type of x.
at::Tensor rotate(const at::Tensor& x, const Rotation& rotation);

// The numbers as an int64 tensor.
at::Tensor index_tensor(std::span<const std::int64_t> values, at::Device device);

}  // namespace step1x
