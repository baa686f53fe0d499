// The layers that every part of the model is built of: affine maps and normalizations that hold their weights, and
// attention. Pure functions of (weights, inputs); the caller decides about gradients. Any thread.
//
// Shapes are those of PyTorch: the last dimension is the features', unless said otherwise.
#pragma once

#include <cstdint>
#include <string>

#include "model/weights.hpp"

namespace step1x {

// y = x W^T + b. W is (out, in).
class Linear {
 public:
  // Takes NAME.weight and, with `bias`, NAME.bias.
  Linear(const Weights& weights, const std::string& name, std::int64_t in, std::int64_t out, bool bias = true);
  // (..., in) -> (..., out), in the type of x.
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  at::Tensor weight_;
  at::Tensor bias_;
};

// x / sqrt(mean(x^2) + epsilon) * scale over the last dimension, in float32 with one rounding at the end.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& scale, double epsilon);

// Layer norm over the last dimension without weights, in float32 with one rounding at the end.
at::Tensor layer_norm(const at::Tensor& x, double epsilon);

// softmax(q k^T / sqrt(d) + bias) v. q: (batch, heads, n, d), k and v: (batch, heads, m, d); `bias`, if defined, is
// added to the scores, or, if it is boolean, says which of them count. -> (batch, heads, n, d)
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& bias = {});

}  // namespace step1x
