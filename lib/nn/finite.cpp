#include "nn/finite.hpp"

#include <ATen/ops/aminmax.h>

#include <cmath>

namespace step1x {

bool all_finite(const at::Tensor& x) {
  if (x.numel() == 0) return true;
  // A NaN anywhere is both.
  const auto [least, most] = at::aminmax(x.detach());
  return std::isfinite(least.item<double>()) && std::isfinite(most.item<double>());
}

}  // namespace step1x
