#include "golden_tensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace step1x::test {

namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();

at::ScalarType scalar_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return at::kFloat;
    case Dtype::f64:
      return at::kDouble;
    case Dtype::bf16:
      return at::kBFloat16;
    case Dtype::i32:
      return at::kInt;
    case Dtype::i64:
      return at::kLong;
    case Dtype::u8:
      return at::kByte;
    default:
      throw std::runtime_error(fmt::format("golden data of type {} are not known", name(dtype)));
  }
}

at::Device device = at::kCPU;

}  // namespace

at::Device golden_device() {
  return device;
}

void set_golden_device(at::Device wanted) {
  device = wanted;
}

at::Tensor golden_tensor(const SafetensorsFile& file, std::string_view name) {
  const TensorInfo& info = file.at(name);
  at::Tensor tensor = at::empty(info.shape, scalar_type(info.dtype));
  file.read(info, {static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes()});
  return tensor.to(golden_device());
}

Comparison compare(std::string what, const at::Tensor& found, const at::Tensor& expected, double tolerance) {
  at::Tensor wanted = expected;
  while (wanted.dim() > found.dim() && wanted.size(0) == 1) wanted = wanted.squeeze(0);
  if (found.sizes() != wanted.sizes() || found.numel() == 0) return {std::move(what), kInfinite, tolerance};
  const double error = (found.cpu().to(at::kDouble) - wanted.cpu().to(at::kDouble)).abs().max().item<double>();
  return {std::move(what), error == error ? error : kInfinite, tolerance};
}

Comparison compare(std::string what, std::span<const std::int64_t> found, std::span<const std::int64_t> expected) {
  const bool same = !expected.empty() && std::ranges::equal(found, expected);
  return {std::move(what), same ? 0 : kInfinite, 0};
}

}  // namespace step1x::test
