#include "model/vae_parts.hpp"

#include <fmt/format.h>

#include <ranges>

namespace step1x {

namespace {

std::int64_t channels_of(const VaeConfig& config, std::int64_t level) {
  return config.channels[static_cast<std::size_t>(level)];
}

// Channels side by side is how the CPU's convolutions compute: with rows side by side they rearrange every input and
// output. All layers keep the order that comes in.
at::Tensor ordered(const at::Tensor& x) {
  return x.is_cpu() ? x.contiguous(at::MemoryFormat::ChannelsLast) : x;
}

// `block` applied to `x`, once the hook has allowed it.
template <typename Block, typename... More>
at::Tensor next(const VaeHook& before_block, const Block& block, const at::Tensor& x, More... more) {
  if (before_block) before_block();
  return block(x, more...);
}

}  // namespace

VaeMiddle::VaeMiddle(const Weights& weights, const std::string& name, std::int64_t channels, std::int64_t groups)
    : block_1(weights, name + ".block_1", channels, channels, groups),
      attention(weights, name + ".attn_1", channels, groups),
      block_2(weights, name + ".block_2", channels, channels, groups) {}

at::Tensor VaeMiddle::operator()(const at::Tensor& x, at::ScalarType compute, const VaeHook& before_block) const {
  const at::Tensor h = next(before_block, block_1, x, compute);
  return next(before_block, block_2, next(before_block, attention, h, compute, kMaxVaeScores), compute);
}

VaeEncoder::VaeEncoder(const VaeConfig& config, const Weights& weights)
    : in_(weights, "encoder.conv_in", config.in_channels, config.channels.front(), 3),
      middle_(weights, "encoder.mid", config.channels.back(), config.groups),
      norm_(weights, "encoder.norm_out", config.channels.back(), config.groups),
      out_(weights, "encoder.conv_out", config.channels.back(), 2 * config.latent_channels, 3) {
  std::int64_t in = config.channels.front();
  for (std::int64_t level = 0; level < config.levels(); ++level) {
    const std::string name = fmt::format("encoder.down.{}", level);
    Level made;
    for (std::int64_t i = 0; i < config.blocks; ++i) {
      made.blocks.emplace_back(weights, fmt::format("{}.block.{}", name, i), in, channels_of(config, level),
                               config.groups);
      in = channels_of(config, level);
    }
    if (level + 1 < config.levels()) made.down.emplace(weights, name + ".downsample", in);
    levels_.push_back(std::move(made));
  }
}

// Encoder.forward: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/autoencoder.py#L162-L183
at::Tensor VaeEncoder::operator()(const at::Tensor& picture, at::ScalarType compute,
                                  const VaeHook& before_block) const {
  at::Tensor x = next(before_block, in_, ordered(picture), compute, 1);  // (batch, channels, height, width)
  for (const Level& level : levels_) {
    for (const ResnetBlock& block : level.blocks) x = next(before_block, block, x, compute);
    if (level.down) x = next(before_block, *level.down, x, compute);  // (batch, channels, h / 2, w / 2)
  }
  x = middle_(x, compute, before_block);
  if (before_block) before_block();
  return out_(norm_.activated(x), compute, 1).contiguous();  // (batch, 2 * latent_channels, h, w)
}

VaeDecoder::VaeDecoder(const VaeConfig& config, const Weights& weights)
    : in_(weights, "decoder.conv_in", config.latent_channels, config.channels.back(), 3),
      middle_(weights, "decoder.mid", config.channels.back(), config.groups),
      norm_(weights, "decoder.norm_out", config.channels.front(), config.groups),
      out_(weights, "decoder.conv_out", config.channels.front(), config.out_channels, 3) {
  std::int64_t in = config.channels.back();
  levels_.resize(static_cast<std::size_t>(config.levels()));
  for (std::int64_t level = config.levels() - 1; level >= 0; --level) {
    const std::string name = fmt::format("decoder.up.{}", level);
    Level& made = levels_[static_cast<std::size_t>(level)];
    for (std::int64_t i = 0; i <= config.blocks; ++i) {
      made.blocks.emplace_back(weights, fmt::format("{}.block.{}", name, i), in, channels_of(config, level),
                               config.groups);
      in = channels_of(config, level);
    }
    if (level > 0) made.up.emplace(weights, name + ".upsample", in);
  }
}

// Decoder.forward: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/autoencoder.py#L240-L262
at::Tensor VaeDecoder::operator()(const at::Tensor& z, at::ScalarType compute, const VaeHook& before_block) const {
  at::Tensor x = next(before_block, in_, ordered(z), compute, 1);
  x = middle_(x, compute, before_block);  // (batch, channels, h, w)
  for (const Level& level : std::views::reverse(levels_)) {
    for (const ResnetBlock& block : level.blocks) x = next(before_block, block, x, compute);
    if (level.up) x = next(before_block, *level.up, x, compute);  // (batch, channels, 2 * h, 2 * w)
  }
  if (before_block) before_block();
  return out_(norm_.activated(x), compute, 1).contiguous();  // (batch, out_channels, height, width)
}

}  // namespace step1x
