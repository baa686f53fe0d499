// Embeddings of scalars: the sinusoidal one of the time, and the two-layer maps that time and pooled text enter by.
// Pure functions of (weights, inputs), any thread.
#pragma once

#include <string>

#include "nn/layers.hpp"

namespace step1x {

// t: (n), the time in 0..1000 -> (n, dim): cosines, then sines, then a zero where dim is odd. In float32, as are the
// frequencies 10000^(-i / (dim / 2)): at 1000 a float32 angle is coarse (6e-5), and the models know it so.
at::Tensor timestep_embedding(const at::Tensor& t, std::int64_t dim);

// W2 silu(W1 x + b1) + b2
class EmbeddingMlp {
 public:
  // Takes FIRST.weight, FIRST.bias, SECOND.weight and SECOND.bias.
  EmbeddingMlp(const Weights& weights, const std::string& first, const std::string& second, std::int64_t in,
               std::int64_t out);
  // (..., in) -> (..., out), in the type of the weights, to which x is rounded.
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  Linear first_;
  Linear second_;
};

}  // namespace step1x
