// The layers of the VAE. Pictures are (batch, channels, height, width). Const after construction; pure; any thread.
// Convolutions round their input and weights to `compute`; norms and activations are float32.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "nn/weights.hpp"

namespace step1x {

class Convolution {
 public:
  Convolution(const Weights& weights, const std::string& name, std::int64_t in, std::int64_t out, std::int64_t kernel);
  // Padded by `padding` on all sides.
  at::Tensor operator()(const at::Tensor& x, at::ScalarType compute, std::int64_t padding,
                        std::int64_t stride = 1) const;

 private:
  at::Tensor weight_, bias_;
};

class GroupNorm {
 public:
  GroupNorm(const Weights& weights, const std::string& name, std::int64_t channels, std::int64_t groups);
  // float32
  at::Tensor operator()(const at::Tensor& x) const;
  // The same, then silu.
  at::Tensor activated(const at::Tensor& x) const;

 private:
  std::int64_t groups_;
  at::Tensor weight_, bias_;
};

class ResnetBlock {
 public:
  ResnetBlock(const Weights& weights, const std::string& name, std::int64_t in, std::int64_t out, std::int64_t groups);
  // (batch, in, h, w) -> (batch, out, h, w)
  at::Tensor operator()(const at::Tensor& x, at::ScalarType compute) const;

 private:
  GroupNorm norm1_;
  Convolution conv1_;
  GroupNorm norm2_;
  Convolution conv2_;
  std::optional<Convolution> shortcut_;
};

// Every element attends to every other, with one head. On the CPU it never holds more than
// `max_scores` scores a picture.
class MiddleAttention {
 public:
  MiddleAttention(const Weights& weights, const std::string& name, std::int64_t channels, std::int64_t groups);
  at::Tensor operator()(const at::Tensor& x, at::ScalarType compute, std::int64_t max_scores) const;

 private:
  struct Map {
    Map(const Weights& weights, const std::string& name, std::int64_t channels);
    at::Tensor operator()(const at::Tensor& x, at::ScalarType compute) const;
    at::Tensor weight, bias;
  };
  GroupNorm norm_;
  Map q_, k_, v_, out_;
};

// Halves both sides (rounding down), after padding by one at the right and bottom.
class Downsample {
 public:
  Downsample(const Weights& weights, const std::string& name, std::int64_t channels)
      : conv_(weights, name + ".conv", channels, channels, 3) {}
  at::Tensor operator()(const at::Tensor& x, at::ScalarType compute) const;

 private:
  Convolution conv_;
};

// Doubles both sides by repetition.
class Upsample {
 public:
  Upsample(const Weights& weights, const std::string& name, std::int64_t channels)
      : conv_(weights, name + ".conv", channels, channels, 3) {}
  at::Tensor operator()(const at::Tensor& x, at::ScalarType compute) const;

 private:
  Convolution conv_;
};

}  // namespace step1x
