#include "model/text_rotary.hpp"

#include <ATen/ops/pow.h>

#include <algorithm>

namespace step1x {

at::Tensor index_tensor(std::span<const std::int64_t> values, at::Device device) {
  const at::Tensor result = at::empty({std::ssize(values)}, at::kLong);
  std::ranges::copy(values, result.mutable_data_ptr<std::int64_t>());
  return result.to(device);
}

Rotation make_rotation(std::span<const RotationPart> parts, double theta, std::int64_t dim, at::Device device) {
  // In float32 and on the CPU, as the references do: at large positions another rounding of a frequency shows.
  const at::Tensor frequencies = at::pow(theta, at::arange(0, dim, 2, at::kFloat) / dim).reciprocal();
  std::vector<at::Tensor> angles;
  for (const RotationPart& part : parts) {
    const at::Tensor positions = index_tensor(part.positions, at::kCPU).to(at::kFloat);
    angles.push_back(at::outer(positions, frequencies.narrow(0, part.first, part.count)));
  }
  const at::Tensor all = at::cat(angles, 1).unsqueeze(1);
  return {at::cos(all).to(device), at::sin(all).to(device)};
}

at::Tensor rotate(const at::Tensor& x, const Rotation& rotation) {
  const std::int64_t half = x.size(-1) / 2;
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor a = wide.narrow(-1, 0, half);
  const at::Tensor b = wide.narrow(-1, half, half);
  return at::cat({a * rotation.cos - b * rotation.sin, b * rotation.cos + a * rotation.sin}, -1).to(x.scalar_type());
}

}  // namespace step1x
