#include "model/vae.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "model/vae_parts.hpp"
#include "nn/tiles.hpp"

namespace step1x {

Vae::Vae(const VaeConfig& config, const Weights& weights)
    : config_(config),
      parts_(std::make_unique<const Parts>(Parts{VaeEncoder(config, weights), VaeDecoder(config, weights)})) {}
Vae::Vae(Vae&&) noexcept = default;
Vae::~Vae() = default;

// AutoEncoder.encode without the sampling:
// https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/autoencoder.py#L324-L327
at::Tensor Vae::moments(const at::Tensor& picture, at::ScalarType compute, const std::optional<VaeTiling>& tiling,
                        const VaeHook& before_block) const {
  const std::int64_t factor = config_.factor();
  if (picture.size(2) % factor != 0 || picture.size(3) % factor != 0) {
    throw Error::format(ErrorCode::failure, "a picture of {}x{} cannot be encoded: its sides must be multiples of {}",
                        picture.size(3), picture.size(2), factor);
  }
  const auto encode = [&](const at::Tensor& x) { return parts_->encoder(x, compute, before_block); };
  if (!tiling) return encode(picture);
  return map_tiles(picture, tiling->tile * factor, tiling->overlap * factor, 1, factor, encode);
}

// DiagonalGaussian.forward, and the scaling of AutoEncoder.encode:
// https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/autoencoder.py#L271-L277
at::Tensor Vae::latents(const at::Tensor& moments, const at::Tensor& noise) const {
  const std::vector<at::Tensor> halves = moments.chunk(2, 1);  // mean, log of variance: (batch, latent_channels, h, w)
  at::Tensor sample = halves[0];
  if (noise.defined()) sample = sample + (halves[1] * 0.5).exp() * noise;
  return (sample - config_.shift) * config_.scale;
}

// AutoEncoder.decode: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/autoencoder.py#L329-L331
at::Tensor Vae::decode(const at::Tensor& latents, at::ScalarType compute, const std::optional<VaeTiling>& tiling,
                       const VaeHook& before_block) const {
  const at::Tensor z = latents.to(at::kFloat) / config_.scale + config_.shift;
  const auto decode = [&](const at::Tensor& x) { return parts_->decoder(x, compute, before_block); };
  if (!tiling) return decode(z);
  return map_tiles(z, tiling->tile, tiling->overlap, config_.factor(), 1, decode);
}

}  // namespace step1x
