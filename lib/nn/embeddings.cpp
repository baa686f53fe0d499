#include "nn/embeddings.hpp"

#include <cmath>

namespace step1x {

// Step1XEdit.timestep_embedding:
// https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/model_edit.py#L168-L196
// TimestepEmbedder.timestep_embedding:
// https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/layers.py#L307-L334
at::Tensor timestep_embedding(const at::Tensor& t, std::int64_t dim) {
  const std::int64_t half = dim / 2;
  const at::TensorOptions options = t.options().dtype(at::kFloat);
  const at::Tensor exponent = at::arange(0, half, options) * -std::log(10000.0) / half;
  const at::Tensor angles = t.to(at::kFloat).unsqueeze(-1) * exponent.exp();  // (n, dim / 2)
  const at::Tensor both = at::cat({angles.cos(), angles.sin()}, -1);
  return dim % 2 == 0 ? both : at::constant_pad_nd(both, {0, 1});  // (n, dim)
}

EmbeddingMlp::EmbeddingMlp(const Weights& weights, const std::string& first, const std::string& second, std::int64_t in,
                           std::int64_t out)
    : first_(weights, first, in, out), second_(weights, second, out, out) {}

// MLPEmbedder.forward: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/layers.py#L379-L383
at::Tensor EmbeddingMlp::operator()(const at::Tensor& x) const {
  return second_(at::silu(first_(x.to(first_.dtype()))));
}

}  // namespace step1x
