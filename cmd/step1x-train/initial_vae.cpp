#include "initial_vae.hpp"

#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cov.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_lstsq.h>

#include <cmath>
#include <string>

#include "base/error.hpp"
#include "model/vae.hpp"

namespace step1x::train {

namespace {

// Four channels carry a value x: x and -x, from which silu gives x back (silu(x) - silu(-x) = x), and two constants so
// large that the norm of their group hardly depends on x.
constexpr std::int64_t kCarrier = 4;
constexpr double kEncoderConstant = 8;
constexpr double kDecoderConstant = 3;
// Latent components vary as the square root of what they vary in the picture: coarse ones count more, fine ones are
// not lost in the noise.
constexpr double kWhitening = 0.5;
constexpr double kLogVariance = -9;

using Name = std::string;

at::Tensor get(const Weights& weights, const Name& name) {
  const at::Tensor* tensor = weights.find(name);
  if (tensor == nullptr) throw Error::format(ErrorCode::usage, "the VAE has no tensor {}", name);
  return *tensor;
}

// (n, channels, h, w) -> (n * h / 2 * w / 2, 4 * channels), columns as (dy, dx, channel)
at::Tensor squares(const at::Tensor& x) {
  const std::int64_t n = x.size(0);
  const std::int64_t c = x.size(1);
  return x.reshape({n, c, x.size(2) / 2, 2, x.size(3) / 2, 2}).permute({0, 2, 4, 3, 5, 1}).reshape({-1, 4 * c});
}

// Directions of largest variance, the largest first: (count, columns).
at::Tensor principal(const at::Tensor& rows, std::int64_t count) {
  const auto [values, vectors] = at::linalg_eigh(at::cov(rows.t()));
  return vectors.flip({1}).narrow(1, 0, count).t().contiguous();
}

// A kernel that maps 2x2 squares: map is (out, 4 * in).
void set_down(const Weights& weights, const Name& name, const at::Tensor& map, const at::Tensor& bias) {
  at::Tensor kernel = get(weights, name + ".weight");
  kernel.zero_();
  const std::int64_t in = map.size(1) / 4;
  for (std::int64_t y = 0; y < 2; ++y) {
    for (std::int64_t x = 0; x < 2; ++x) {
      kernel.narrow(0, 0, map.size(0))
          .narrow(1, 0, in)
          .select(3, x)
          .select(2, y)
          .copy_(map.narrow(1, (2 * y + x) * in, in));
    }
  }
  at::Tensor offset = get(weights, name + ".bias");
  offset.zero_();
  if (bias.defined()) offset.narrow(0, 0, bias.size(0)).copy_(bias);
}

// The middle of a kernel.
at::Tensor centre(const at::Tensor& kernel) {
  return kernel.select(3, kernel.size(3) / 2).select(2, kernel.size(2) / 2);
}

void keep_channels(const Weights& weights, const Name& name, std::int64_t count) {
  at::Tensor kernel = get(weights, name + ".weight");
  kernel.narrow(0, 0, count).zero_();
  centre(kernel).narrow(0, 0, count).narrow(1, 0, count).fill_diagonal_(1);
}

// Rows of `map` (values, in) as carriers in the first channels.
void set_carriers(const at::Tensor& kernel, const at::Tensor& bias, const at::Tensor& map, const at::Tensor& offset,
                  double constant) {
  for (std::int64_t i = 0; i < map.size(0); ++i) {
    kernel.narrow(0, kCarrier * i, kCarrier).zero_();
    centre(kernel)[kCarrier * i].narrow(0, 0, map.size(1)).copy_(map[i]);
    centre(kernel)[kCarrier * i + 1].narrow(0, 0, map.size(1)).copy_(-map[i]);
    bias[kCarrier * i].copy_(offset[i]);
    bias[kCarrier * i + 1].copy_(-offset[i]);
    bias[kCarrier * i + 2].fill_(constant);
    bias[kCarrier * i + 3].fill_(-constant);
  }
}

// Reads `count` carriers back behind norm and silu; `variance` is theirs.
void read_carriers(const Weights& weights, const Name& norm, const Name& out, std::int64_t count, double variance,
                   double constant) {
  get(weights, norm + ".weight").fill_(std::sqrt((constant * constant + variance) / 2));
  at::Tensor kernel = get(weights, out + ".weight");
  kernel.zero_();
  get(weights, out + ".bias").zero_();
  for (std::int64_t i = 0; i < count; ++i) {
    centre(kernel)[i][kCarrier * i].fill_(1);
    centre(kernel)[i][kCarrier * i + 1].fill_(-1);
  }
}

void begin_encoder(const VaeConfig& config, const Weights& weights, const at::Tensor& pictures) {
  get(weights, "encoder.conv_in.weight").zero_();
  keep_channels(weights, "encoder.conv_in", config.in_channels);
  const std::int64_t last = config.levels() - 1;
  at::Tensor x = pictures;
  for (std::int64_t level = 0; level < last; ++level) {
    const Name name = "encoder.down." + std::to_string(level);
    if (weights.find(name + ".block.0.nin_shortcut.weight") != nullptr) {
      get(weights, name + ".block.0.nin_shortcut.weight").zero_();
      keep_channels(weights, name + ".block.0.nin_shortcut", x.size(1));
    }
    const at::Tensor rows = squares(x);
    const std::int64_t room = config.channels[static_cast<std::size_t>(level)];
    const std::int64_t count = level + 1 == last ? config.latent_channels : std::min(room, rows.size(1));
    at::Tensor map = principal(rows, count);
    at::Tensor offset;
    if (level + 1 == last) {
      map = map / at::matmul(rows, map.t()).std(0).pow(kWhitening).unsqueeze(1);
      map = map / at::matmul(rows, map.t()).std();
      offset = -at::matmul(rows, map.t()).mean(0);
    }
    set_down(weights, name + ".downsample.conv", map, offset);
    x = at::matmul(rows, map.t());
    if (offset.defined()) x = x + offset;
    x = x.reshape({pictures.size(0), pictures.size(2) >> (level + 1), pictures.size(3) >> (level + 1), count})
            .permute({0, 3, 1, 2});
  }
  const Name shortcut = "encoder.down." + std::to_string(last) + ".block.0.nin_shortcut";
  at::Tensor kernel = get(weights, shortcut + ".weight").zero_();
  const at::Tensor same = at::eye(config.latent_channels);
  set_carriers(kernel, get(weights, shortcut + ".bias").zero_(), same, at::zeros({config.latent_channels}),
               kEncoderConstant);
  read_carriers(weights, "encoder.norm_out", "encoder.conv_out", config.latent_channels, 1, kEncoderConstant);
  get(weights, "encoder.conv_out.bias").narrow(0, config.latent_channels, config.latent_channels).fill_(kLogVariance);
}

// latents: (n, latent_channels, h, w) of `pictures`
void begin_decoder(const VaeConfig& config, const Weights& weights, const at::Tensor& pictures,
                   const at::Tensor& latents) {
  const std::int64_t factor = config.factor();
  const at::Tensor means = at::avg_pool2d(pictures, factor).permute({0, 2, 3, 1}).reshape({-1, config.out_channels});
  const at::Tensor rows = latents.permute({0, 2, 3, 1}).reshape({-1, config.latent_channels});
  const at::Tensor with_one = at::cat({rows, at::ones({rows.size(0), 1})}, 1);
  const at::Tensor map = std::get<0>(at::linalg_lstsq(with_one, means)).t();  // (3, latents + 1)
  set_carriers(get(weights, "decoder.conv_in.weight"), get(weights, "decoder.conv_in.bias"),
               map.narrow(1, 0, config.latent_channels), map.select(1, config.latent_channels), kDecoderConstant);
  const std::int64_t carriers = kCarrier * config.out_channels;
  for (std::int64_t level = config.levels() - 1; level >= 0; --level) {
    const Name name = "decoder.up." + std::to_string(level);
    if (weights.find(name + ".block.0.nin_shortcut.weight") != nullptr) {
      keep_channels(weights, name + ".block.0.nin_shortcut", carriers);
    }
    if (level > 0) keep_channels(weights, name + ".upsample.conv", carriers);
  }
  read_carriers(weights, "decoder.norm_out", "decoder.conv_out", config.out_channels,
                pictures.square().mean().item<double>(), kDecoderConstant);
  get(weights, "decoder.norm_out.weight").narrow(0, carriers, config.channels.front() - carriers).fill_(1);
}

void check(const VaeConfig& config) {
  const std::int64_t group = config.channels.back() / config.groups;
  const bool room = config.levels() > 1 && config.channels.back() >= kCarrier * config.latent_channels &&
                    group % kCarrier == 0 && config.channels.front() / config.groups == kCarrier &&
                    config.channels.front() >= kCarrier * config.out_channels;
  if (!room) {
    throw Error::format(ErrorCode::usage,
                        "the VAE needs at least {} channels at the coarsest level, and groups of {} at the finest",
                        kCarrier * config.latent_channels, kCarrier);
  }
}

}  // namespace

void begin_vae(const VaeConfig& config, const Weights& weights, const at::Tensor& pictures) {
  check(config);
  for (const auto& [name, tensor] : weights.tensors()) {
    const bool branch_end = name.ends_with(".conv2.weight") || name.ends_with("attn_1.proj_out.weight");
    if (branch_end) at::Tensor(tensor).zero_();
  }
  begin_encoder(config, weights, pictures);
  const Vae vae(config, weights);
  const at::Tensor moments = vae.moments(pictures, at::kFloat);
  begin_decoder(config, weights, pictures, moments.narrow(1, 0, config.latent_channels));
}

}  // namespace step1x::train
