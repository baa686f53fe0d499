#include <ATen/ATen.h>

#include <cmath>
#include <map>

#include "operators.hpp"

namespace stand_in {
namespace {

std::optional<double> scale_of(const c10::IValue& value) {
  return value.isNone() ? std::nullopt : std::optional(value.toDouble());
}

std::optional<at::Tensor> bias_of(const c10::IValue& value) {
  return value.isNone() || !value.toTensor().defined() ? std::nullopt : std::optional(value.toTensor());
}

struct Attended {
  at::Tensor out;   // laid out as the queries of libtorch's kernels: heads last but one
  at::Tensor sums;  // log-sum-exp of each row's scores
};

// softmax(scale q k^T + bias) v in float32.
Attended attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& bias,
                bool causal, std::optional<double> scale) {
  at::Tensor scores = at::matmul(q.to(at::kFloat), k.to(at::kFloat).transpose(-1, -2)) *
                      scale.value_or(1 / std::sqrt(static_cast<double>(q.size(-1))));
  if (bias) scores = scores + *bias;
  if (causal)
    scores = scores.masked_fill(at::ones({q.size(-2), k.size(-2)}, at::kBool).tril().logical_not(), -INFINITY);
  const at::Tensor out = at::matmul(at::softmax(scores, -1), v.to(at::kFloat)).to(q.scalar_type());
  return {out.transpose(1, 2).contiguous().transpose(1, 2), at::logsumexp(scores, {-1})};
}

std::vector<std::int64_t> no_padding(const c10::IValue& padding) {
  return std::vector<std::int64_t>(padding.toIntVector().size(), 0);
}

// In float32, as a GPU sums: for bf16 many a CPU has nothing but plain loops, which took two thirds of a job's time.
at::Tensor convolve(const Stack& s, const c10::IValue& stride, const c10::IValue& dilation, bool transposed,
                    const std::vector<std::int64_t>& output_padding, const c10::IValue& groups) {
  const at::Tensor x = s[0].toTensor();
  const at::Tensor y =
      at::convolution(x.to(at::kFloat), s[1].toTensor().to(at::kFloat), {}, stride.toIntVector(), s[2].toIntVector(),
                      dilation.toIntVector(), transposed, output_padding, groups.toInt());
  return y.to(x.scalar_type());
}

// (input, weight, padding, stride, dilation, groups, benchmark, deterministic, allow_tf32)
void convolution(Stack& s) {
  s = {convolve(s, s[3], s[4], false, no_padding(s[2]), s[5])};
}

// (input, weight, padding, output_padding, stride, dilation, groups, ...)
void transposed_convolution(Stack& s) {
  s = {convolve(s, s[4], s[5], true, s[3].toIntVector(), s[6])};
}

// What flash attention and cuDNN's return. `counter`: the shape of the dropout's state, which nobody reads.
void fused_attention(Stack& s, const std::optional<at::Tensor>& bias, bool causal, const c10::IValue& scale,
                     at::IntArrayRef counter) {
  const at::Tensor q = s[0].toTensor();
  const at::Tensor k = s[1].toTensor();
  const auto [out, sums] = attend(q, k, s[2].toTensor(), bias, causal, scale_of(scale));
  const at::Tensor state = at::zeros(counter, at::kLong);
  s = {out, sums, at::Tensor(), at::Tensor(), q.size(2), k.size(2), state, at::zeros({}, at::kLong), at::Tensor()};
}

// (q, k, v, dropout_p, is_causal, return_debug_mask, *, scale)
void flash_attention(Stack& s) {
  fused_attention(s, std::nullopt, s[4].toBool(), c10::IValue(s[6]), {2});
}

// (q, k, v, attn_bias, compute_log_sumexp, dropout_p, is_causal, return_debug_mask, *, scale)
void cudnn_attention(Stack& s) {
  fused_attention(s, bias_of(s[3]), s[6].toBool(), c10::IValue(s[8]), {});
}

// (q, k, v, attn_bias, compute_log_sumexp, dropout_p, is_causal, *, scale)
void efficient_attention(Stack& s) {
  const auto [out, sums] =
      attend(s[0].toTensor(), s[1].toTensor(), s[2].toTensor(), bias_of(s[3]), s[6].toBool(), scale_of(s[7]));
  s = {out, sums, at::zeros({}, at::kLong), at::zeros({}, at::kLong)};
}

}  // namespace

const Compute* special_operator(const std::string& name) {
  static const std::map<std::string, Compute> all{
      {"aten::cudnn_convolution", convolution},
      {"aten::cudnn_convolution_transpose", transposed_convolution},
      {"aten::_scaled_dot_product_flash_attention", flash_attention},
      {"aten::_scaled_dot_product_efficient_attention", efficient_attention},
      {"aten::_scaled_dot_product_cudnn_attention", cudnn_attention},
  };
  const auto found = all.find(name);
  return found == all.end() ? nullptr : &found->second;
}

}  // namespace stand_in
