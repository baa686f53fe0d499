// The beginning of a new safetensors file: length, JSON header and padding. The tensors' bytes follow in the same order
// and without gaps. Pure function, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "weights/dtype.hpp"

namespace step1x {

struct NewTensor {
  std::string name;
  Dtype dtype = Dtype::bf16;
  std::vector<std::int64_t> shape;
};

std::string safetensors_head(std::span<const NewTensor> tensors);

}  // namespace step1x
