// Tensors of the golden data, and how far a computed one is from them.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/aten.hpp"
#include "weights/safetensors.hpp"

namespace step1x::test {

// One thing that was compared. `error` is the largest absolute difference; infinite for another shape, for a value
// that is not a number, and for whole numbers that differ at all.
struct Comparison {
  std::string what;
  double error = 0;
  double tolerance = 0;

  bool ok() const { return error <= tolerance; }
};

using Comparisons = std::vector<Comparison>;

// As stored. Throws for a name that the file does not have.
at::Tensor golden_tensor(const SafetensorsFile& file, std::string_view name);

// A leading dimension of 1 of the expected tensor does not count.
Comparison compare(std::string what, const at::Tensor& found, const at::Tensor& expected, double tolerance);
Comparison compare(std::string what, std::span<const std::int64_t> found, std::span<const std::int64_t> expected);

}  // namespace step1x::test
