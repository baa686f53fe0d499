// Where tensors and blocks of them begin. Pure; any thread.
#pragma once

#include <cstdint>

namespace step1x {

// What the vector instructions of any device load at once, and more.
inline constexpr std::uint64_t kTensorAlignment = 256;

// The first multiple of `step` that is not below `value`.
constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t step) {
  return (value + step - 1) / step * step;
}

}  // namespace step1x
