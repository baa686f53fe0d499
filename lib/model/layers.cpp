#include "model/layers.hpp"

#include <optional>

namespace step1x {

namespace {

std::optional<at::Tensor> if_defined(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

}  // namespace

Linear::Linear(const Weights& weights, const std::string& name, std::int64_t in, std::int64_t out, bool bias)
    : weight_(weights.at(name + ".weight", {out, in})) {
  if (bias) bias_ = weights.at(name + ".bias", {out});
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  return at::linear(x, weight_, if_defined(bias_));
}

at::Tensor Linear::part(const at::Tensor& x, std::int64_t first, std::int64_t rows) const {
  const at::Tensor bias = bias_.defined() ? bias_.narrow(0, first, rows) : bias_;
  return at::linear(x, weight_.narrow(0, first, rows), if_defined(bias));
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& scale, double epsilon) {
  const at::Tensor wide = x.to(at::kFloat);
  // The length in one pass: squares would be another copy of x.
  const at::Tensor length = at::linalg_vector_norm(wide, 2, at::IntArrayRef{-1}, /*keepdim=*/true);
  const at::Tensor factor = at::rsqrt(length.square() / x.size(-1) + epsilon);
  return (wide * factor * scale.to(at::kFloat)).to(x.scalar_type());
}

at::Tensor modulated_norm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale, double epsilon) {
  const at::Tensor factor = scale.to(at::kFloat) + 1;
  const at::Tensor offset = shift.to(at::kFloat);
  const std::int64_t size = x.size(-1);
  if (factor.numel() > size) {
    const at::Tensor norm = at::layer_norm(x.to(at::kFloat), {size}, {}, {}, epsilon);
    return (factor * norm + offset).to(x.scalar_type());
  }
  // One pass where all sequences share the modulation. Only the CPU's kernel takes x narrow and the rest wide.
  const at::Tensor in = x.is_cpu() ? x : x.to(at::kFloat);
  return at::layer_norm(in, {size}, factor.flatten(), offset.flatten(), epsilon).to(x.scalar_type());
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& bias) {
  return at::scaled_dot_product_attention(q, k, v, if_defined(bias));
}

}  // namespace step1x
