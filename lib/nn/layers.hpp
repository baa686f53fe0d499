// The layers that every part of the model is built of: affine maps and normalizations that hold their weights, and
// attention. Pure functions of (weights, inputs); the caller decides about gradients. Any thread.
//
// Shapes are those of PyTorch: the last dimension is the features', unless said otherwise.
#pragma once

#include <cstdint>
#include <string>

#include "nn/weights.hpp"

namespace step1x {

// y = x W^T + b. W is (out, in).
class Linear {
 public:
  // Takes NAME.weight and, with `bias`, NAME.bias.
  Linear(const Weights& weights, const std::string& name, std::int64_t in, std::int64_t out, bool bias = true);
  // (..., in) -> (..., out). x has the weights' type.
  at::Tensor operator()(const at::Tensor& x) const;
  // The same with the rows [first, first + rows) of W and b alone. (..., in) -> (..., rows)
  at::Tensor part(const at::Tensor& x, std::int64_t first, std::int64_t rows) const;
  at::ScalarType dtype() const { return weight_.scalar_type(); }

 private:
  at::Tensor weight_;
  at::Tensor bias_;
};

// x / sqrt(mean(x^2) + epsilon) * scale over the last dimension, in float32 with one rounding at the end.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& scale, double epsilon);

// (1 + scale) * (x - mean) / sqrt(variance + epsilon) + shift over the last dimension, in float32 with one rounding at
// the end, to the type of x. x: (batch, n, d), scale and shift: (batch or 1, 1, d)
at::Tensor modulated_norm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale, double epsilon);

// softmax(q k^T / sqrt(d) + bias) v. q: (batch, heads, n, d), k and v: (batch, heads, m, d); `bias`, if defined, is
// added to the scores, or, if it is boolean, says which of them count. -> (batch, heads, n, d)
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& bias = {});

// A key that stands for several equal ones.
struct RepeatedKey {
  std::int64_t place = 0;  // among the keys
  double count = 1;
};

// attention() over keys of which one is repeated, exactly. On a GPU it is computed by itself and merged, which has no
// gradients; elsewhere its score is raised by log(count).
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const RepeatedKey& repeated);
// The two ways.
at::Tensor biased_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const RepeatedKey& repeated);
at::Tensor merged_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const RepeatedKey& repeated);

}  // namespace step1x
