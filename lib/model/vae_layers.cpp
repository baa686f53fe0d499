#include "model/vae_layers.hpp"

#include <algorithm>
#include <vector>

#include "nn/layers.hpp"

namespace step1x {

namespace {

constexpr double kGroupNormEpsilon = 1e-6;

}  // namespace

Convolution::Convolution(const Weights& weights, const std::string& name, std::int64_t in, std::int64_t out,
                         std::int64_t kernel)
    : weight_(weights.at(name + ".weight", {out, in, kernel, kernel})), bias_(weights.at(name + ".bias", {out})) {}

at::Tensor Convolution::operator()(const at::Tensor& x, at::ScalarType compute, std::int64_t padding,
                                   std::int64_t stride) const {
  return at::conv2d(x.to(compute), weight_.to(compute), bias_.to(compute), stride, padding);
}

GroupNorm::GroupNorm(const Weights& weights, const std::string& name, std::int64_t channels, std::int64_t groups)
    : groups_(groups),
      weight_(weights.at(name + ".weight", {channels})),
      bias_(weights.at(name + ".bias", {channels})) {}

at::Tensor GroupNorm::operator()(const at::Tensor& x) const {
  return at::group_norm(x.to(at::kFloat), groups_, weight_.to(at::kFloat), bias_.to(at::kFloat), kGroupNormEpsilon);
}

at::Tensor GroupNorm::activated(const at::Tensor& x) const {
  // In place, as nobody else holds it: at 1024 pixels one such tensor takes 512 MB. Training needs what went in.
  at::Tensor normed = (*this)(x);
  return normed.requires_grad() ? at::silu(normed) : at::silu_(normed);
}

ResnetBlock::ResnetBlock(const Weights& weights, const std::string& name, std::int64_t in, std::int64_t out,
                         std::int64_t groups)
    : norm1_(weights, name + ".norm1", in, groups),
      conv1_(weights, name + ".conv1", in, out, 3),
      norm2_(weights, name + ".norm2", out, groups),
      conv2_(weights, name + ".conv2", out, out, 3) {
  if (in != out) shortcut_.emplace(weights, name + ".nin_shortcut", in, out, 1);
}

// ResnetBlock.forward: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/autoencoder.py#L72-L85
at::Tensor ResnetBlock::operator()(const at::Tensor& x, at::ScalarType compute) const {
  const at::Tensor h = conv1_(norm1_.activated(x), compute, 1);  // (batch, out, h, w)
  const at::Tensor change = conv2_(norm2_.activated(h), compute, 1);
  return (shortcut_ ? (*shortcut_)(x, compute, 0) : x) + change;
}

MiddleAttention::Map::Map(const Weights& weights, const std::string& name, std::int64_t channels)
    : weight(weights.at(name + ".weight", {channels, channels})), bias(weights.at(name + ".bias", {channels})) {}

at::Tensor MiddleAttention::Map::operator()(const at::Tensor& x, at::ScalarType compute) const {
  return at::linear(x.to(compute), weight.to(compute), bias.to(compute));
}

MiddleAttention::MiddleAttention(const Weights& weights, const std::string& name, std::int64_t channels,
                                 std::int64_t groups)
    : norm_(weights, name + ".norm", channels, groups),
      q_(weights, name + ".q", channels),
      k_(weights, name + ".k", channels),
      v_(weights, name + ".v", channels),
      out_(weights, name + ".proj_out", channels) {}

// AttnBlock: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/autoencoder.py#L28-L55
at::Tensor MiddleAttention::operator()(const at::Tensor& x, at::ScalarType compute, std::int64_t max_scores) const {
  const at::Tensor rows = norm_(x).flatten(2).transpose(1, 2).unsqueeze(1);  // (batch, 1, h * w, channels)
  const at::Tensor q = q_(rows, compute);
  const at::Tensor k = k_(rows, compute);
  const at::Tensor v = v_(rows, compute);
  const std::int64_t n = q.size(2);
  // A GPU's kernels hold none.
  const std::int64_t group = q.is_cpu() ? std::max(std::int64_t{1}, max_scores / n) : n;
  std::vector<at::Tensor> attended;
  for (const at::Tensor& queries : q.split(group, 2)) attended.push_back(attention(queries, k, v));
  const at::Tensor change = out_(at::cat(attended, 2), compute);  // (batch, 1, h * w, channels)
  return x + change.squeeze(1).transpose(1, 2).reshape(x.sizes());
}

// Downsample.forward: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/autoencoder.py#L94-L98
at::Tensor Downsample::operator()(const at::Tensor& x, at::ScalarType compute) const {
  return conv_(at::constant_pad_nd(x, {0, 1, 0, 1}), compute, 0, 2);
}

// Upsample.forward: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/autoencoder.py#L106-L109
at::Tensor Upsample::operator()(const at::Tensor& x, at::ScalarType compute) const {
  return conv_(at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)}), compute, 1);
}

}  // namespace step1x
