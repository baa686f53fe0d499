#include "linear_encoder.hpp"

#include <ATen/ops/eye.h>

#include "base/error.hpp"

namespace step1x::train {

namespace {

// Of latents whose deviation is about 1.
constexpr double kTolerance = 0.05;

}  // namespace

LinearEncoder::LinearEncoder(const Vae& vae, const at::Tensor& pictures) {
  const std::int64_t side = vae.config().factor();
  const std::int64_t channels = vae.config().in_channels;
  const auto encode = [&](const at::Tensor& x) { return vae.latents(vae.moments(x, at::kFloat), {}); };
  bias_ = encode(at::zeros({1, channels, side, side})).flatten();  // (latent_channels)
  const at::Tensor pixels = at::eye(channels * side * side).reshape({-1, channels, side, side});
  const at::Tensor columns = encode(pixels).flatten(1) - bias_;  // (pixels, latent_channels)
  kernel_ = columns.t().reshape({-1, channels, side, side}).contiguous();
  const double error = (encode(pictures) - (*this)(pictures)).square().mean().sqrt().item<double>();
  if (!(error <= kTolerance)) {
    throw Error::format(ErrorCode::usage,
                        "the VAE's encoder is no projection (error {:.3f}): was it made by `step1x-train vae`?", error);
  }
}

at::Tensor LinearEncoder::operator()(const at::Tensor& pictures) const {
  return at::conv2d(pictures, kernel_, bias_, kernel_.size(2));
}

}  // namespace step1x::train
