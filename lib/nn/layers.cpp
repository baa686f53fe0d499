#include "nn/layers.hpp"

#include <ATen/ops/_scaled_dot_product_efficient_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/sigmoid.h>

#include <cmath>
#include <optional>

namespace step1x {

namespace {

std::optional<at::Tensor> if_defined(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

struct Attended {
  at::Tensor out;   // (batch, heads, n, d)
  at::Tensor sums;  // (batch, heads, n): the logarithm of the sum of the scores' exponentials, float32
};

Attended attention_with_sums(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  if (q.is_cpu()) {
    const auto [out, sums] = at::_scaled_dot_product_flash_attention_for_cpu(q, k, v);
    return {out, sums.to(at::kFloat)};
  }
  if (q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kHalf) {
    const auto result = at::_scaled_dot_product_flash_attention(q, k, v);
    return {std::get<0>(result), std::get<1>(result)};
  }
  const auto result = at::_scaled_dot_product_efficient_attention(q, k, v, {}, /*compute_log_sumexp=*/true);
  // The kernel rounds the number of rows up.
  return {std::get<0>(result), std::get<1>(result).narrow(2, 0, q.size(2))};
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

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const RepeatedKey& repeated) {
  if (repeated.count == 1) return attention(q, k, v);
  return q.is_cpu() ? biased_attention(q, k, v, repeated) : merged_attention(q, k, v, repeated);
}

at::Tensor biased_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const RepeatedKey& repeated) {
  // float32 whatever the model's type: rounded to bf16, log(600) is wrong by half a percent.
  at::Tensor bias = at::zeros({1, 1, 1, k.size(2)}, k.options().dtype(at::kFloat));
  bias.narrow(3, repeated.place, 1).fill_(std::log(repeated.count));
  return attention(q, k, v, bias);
}

// With the softmax's weight w of the repeated key, the result is (1 - w) times that of the other keys, plus w times its
// value; and w = e^s / (e^s + e^sums) for its score s.
at::Tensor merged_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const RepeatedKey& repeated) {
  const std::int64_t after = k.size(2) - repeated.place - 1;
  const auto others = [&](const at::Tensor& x) {
    return at::cat({x.narrow(2, 0, repeated.place), x.narrow(2, repeated.place + 1, after)}, 2);
  };
  const Attended rest = attention_with_sums(q, others(k), others(v));
  const at::Tensor key = k.narrow(2, repeated.place, 1).to(at::kFloat);  // (batch, heads, 1, d)
  const at::Tensor score =
      (q.to(at::kFloat) * key).sum(-1) / std::sqrt(static_cast<double>(q.size(-1))) + std::log(repeated.count);
  const at::Tensor weight = at::sigmoid(score - rest.sums).unsqueeze(-1);  // (batch, heads, n, 1)
  const at::Tensor value = v.narrow(2, repeated.place, 1).to(at::kFloat);
  const at::Tensor out = rest.out.to(at::kFloat);
  return (out + (value - out) * weight).to(q.scalar_type());
}

}  // namespace step1x
