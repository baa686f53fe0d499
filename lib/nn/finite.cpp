#include "nn/finite.hpp"

#include <ATen/ops/aminmax.h>

#include <cmath>

namespace step1x {

bool all_finite(const at::Tensor& x) {
  if (x.numel() == 0) return true;
  // A NaN anywhere is both.
  const auto [least, most] = at::aminmax(x.detach());
  // Copied, because item() takes pinned memory for a number of a GPU's, and a driver may have none to give.
  return std::isfinite(least.cpu().item<double>()) && std::isfinite(most.cpu().item<double>());
}

}  // namespace step1x
