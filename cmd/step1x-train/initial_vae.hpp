// A VAE to begin with: its encoder is a projection on principal components of square pieces of pictures, exact but for
// what the norm takes, and its decoder gives every piece its mean colour. From random weights the norms, which take
// level and contrast from every group of channels, keep such a small VAE grey for hours.
#pragma once

#include "demo/random.hpp"
#include "model/vae_config.hpp"
#include "nn/weights.hpp"

namespace step1x::train {

// pictures: (count, 3, h, w) in [-1, 1], sides multiples of the factor. Replaces values in `weights`, whose residual
// branches all become 0. Error(usage) for a configuration that has no room for it.
void begin_vae(const VaeConfig& config, const Weights& weights, const at::Tensor& pictures);

}  // namespace step1x::train
