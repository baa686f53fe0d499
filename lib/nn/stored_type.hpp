// libtorch's name for a type that weights may be stored in; nothing for one that cannot be computed with. Pure
// function.
#pragma once

#include <optional>

#include "nn/aten.hpp"
#include "weights/dtype.hpp"

namespace step1x {

inline std::optional<at::ScalarType> stored_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::bf16:
      return at::kBFloat16;
    case Dtype::f16:
      return at::kHalf;
    case Dtype::f32:
      return at::kFloat;
    case Dtype::f64:
      return at::kDouble;
    case Dtype::f8_e4m3:
      return at::kFloat8_e4m3fn;
    default:
      return std::nullopt;
  }
}

}  // namespace step1x
