// Tensors of the golden data, and how far a computed one is from them.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nn/aten.hpp"
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

// Where everything is compared: golden data come here, and models are loaded here. The CPU, unless a program says
// otherwise before its first comparison.
at::Device golden_device();
void set_golden_device(at::Device device);
// Of tensors that a check makes by itself.
inline at::TensorOptions on_device(at::ScalarType type) {
  return at::TensorOptions(type).device(golden_device());
}

// As stored, on golden_device(). Throws for a name that the file does not have.
at::Tensor golden_tensor(const SafetensorsFile& file, std::string_view name);

// A leading dimension of 1 of the expected tensor does not count.
Comparison compare(std::string what, const at::Tensor& found, const at::Tensor& expected, double tolerance);
Comparison compare(std::string what, std::span<const std::int64_t> found, std::span<const std::int64_t> expected);

}  // namespace step1x::test
