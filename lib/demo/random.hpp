// Chance that a seed repeats, on any machine: the standard's distributions are not the same everywhere. Not for
// secrets. One thread at a time.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <random>
#include <span>

namespace step1x::demo {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  // [0, 1)
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1.0p-53; }
  double uniform(double from, double to) { return from + (to - from) * uniform(); }
  // [0, count)
  std::size_t below(std::size_t count) { return static_cast<std::size_t>(uniform() * static_cast<double>(count)); }
  bool chance(double probability) { return uniform() < probability; }
  // Mean 0, deviation 1 (Box and Muller).
  double normal() { return std::sqrt(-2 * std::log(1 - uniform())) * std::cos(2 * std::numbers::pi * uniform()); }
  template <typename T>
  const T& one_of(std::span<const T> choices) {
    return choices[below(choices.size())];
  }
  std::uint64_t bits() { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

}  // namespace step1x::demo
