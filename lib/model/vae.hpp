// The VAE: pictures to latents and back. Const after construction; pure; any thread.
//
// A picture is (batch, in_channels, height, width) in [-1, 1]; a latent is (batch, latent_channels, height / factor,
// width / factor), where the factor is 2 to the number of levels less one. Sides must be multiples of the factor.
// Convolutions run in `compute`, norms in float32.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/vae_config.hpp"

namespace step1x {

// The middle attention's queries go through in groups, so that no more scores than these are held at a time.
inline constexpr std::int64_t kMaxVaeScores = std::int64_t{1} << 24;

struct VaeTiling {
  std::int64_t tile = 64;     // side of a tile, in latent elements
  std::int64_t overlap = 16;  // of neighbouring tiles, over which they are blended
};

// Called before each of the VAE's blocks and single convolutions; throws to stop.
using VaeHook = std::function<void()>;

class Vae {
 public:
  Vae(const VaeConfig& config, const Weights& weights);
  Vae(Vae&&) noexcept;
  ~Vae();

  const VaeConfig& config() const { return config_; }

  // What the encoder says about the latent: mean, then log of variance. -> (batch, 2 * latent_channels, h, w)
  at::Tensor moments(const at::Tensor& picture, at::ScalarType compute,
                     const std::optional<VaeTiling>& tiling = std::nullopt, const VaeHook& before_block = {}) const;
  // Latents as the transformer sees them; `noise`, if defined, is multiplied by the deviation and added to the mean.
  at::Tensor latents(const at::Tensor& moments, const at::Tensor& noise) const;
  // -> (batch, out_channels, height, width), not clamped
  at::Tensor decode(const at::Tensor& latents, at::ScalarType compute,
                    const std::optional<VaeTiling>& tiling = std::nullopt, const VaeHook& before_block = {}) const;

  struct Parts;
  const Parts& parts() const { return *parts_; }

 private:
  VaeConfig config_;
  std::unique_ptr<const Parts> parts_;
};

}  // namespace step1x
