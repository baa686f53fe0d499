// What a VAE's encoder does when it is a projection of square pieces (begin_vae() makes it one), as one convolution:
// a hundredth of the work. Pure; any thread.
#pragma once

#include "model/vae.hpp"

namespace step1x::train {

class LinearEncoder {
 public:
  // Finds the projection by encoding one pixel at a time. Error(usage) when the encoder does something else to
  // `pictures`, (count, 3, h, w) in [-1, 1].
  LinearEncoder(const Vae& vae, const at::Tensor& pictures);

  // Latents as the transformer sees them.
  at::Tensor operator()(const at::Tensor& pictures) const;

 private:
  at::Tensor kernel_;
  at::Tensor bias_;
};

}  // namespace step1x::train
