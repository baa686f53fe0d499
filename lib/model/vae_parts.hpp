// Encoder and decoder of the VAE. Const after construction; pure; any thread.
#pragma once

#include <vector>

#include "model/vae.hpp"
#include "model/vae_layers.hpp"

namespace step1x {

struct VaeMiddle {
  VaeMiddle(const Weights& weights, const std::string& name, std::int64_t channels, std::int64_t groups);
  at::Tensor operator()(const at::Tensor& x, at::ScalarType compute, const VaeHook& before_block) const;

  ResnetBlock block_1;
  MiddleAttention attention;
  ResnetBlock block_2;
};

class VaeEncoder {
 public:
  VaeEncoder(const VaeConfig& config, const Weights& weights);
  // (batch, in_channels, height, width) -> (batch, 2 * latent_channels, height / factor, width / factor)
  at::Tensor operator()(const at::Tensor& picture, at::ScalarType compute, const VaeHook& before_block) const;

  struct Level {
    std::vector<ResnetBlock> blocks;
    std::optional<Downsample> down;
  };
  const std::vector<Level>& levels() const { return levels_; }
  const VaeMiddle& middle() const { return middle_; }

 private:
  Convolution in_;
  std::vector<Level> levels_;  // the finest first
  VaeMiddle middle_;
  GroupNorm norm_;
  Convolution out_;
};

class VaeDecoder {
 public:
  VaeDecoder(const VaeConfig& config, const Weights& weights);
  // (batch, latent_channels, h, w) -> (batch, out_channels, factor * h, factor * w)
  at::Tensor operator()(const at::Tensor& z, at::ScalarType compute, const VaeHook& before_block) const;

  struct Level {
    std::vector<ResnetBlock> blocks;
    std::optional<Upsample> up;
  };
  const std::vector<Level>& levels() const { return levels_; }

 private:
  Convolution in_;
  VaeMiddle middle_;
  std::vector<Level> levels_;  // the finest first; run from the coarsest
  GroupNorm norm_;
  Convolution out_;
};

struct Vae::Parts {
  VaeEncoder encoder;
  VaeDecoder decoder;
};

}  // namespace step1x
