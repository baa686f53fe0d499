#include "model/activation_size.hpp"

#include <algorithm>

namespace step1x {

namespace {

// A long prompt with its picture.
constexpr std::int64_t kTextTokens = 1024;
constexpr std::int64_t kPrompts = 2;  // with guidance
constexpr std::int64_t kFloatBytes = 4;

// The widest moment of a single block: both prompts' streams; the norm's output; q, k, v and the mlp's input, which are
// one tensor; q and k again, rotated; what attention gives; the mlp's activation; both side by side; their map. And
// float32 copies of what is normalized.
std::int64_t block_columns(const TransformerConfig& config) {
  return 16 * config.hidden_size + 4 * config.mlp_size;
}

}  // namespace

ActivationSize activation_size(const ModelFiles& files, const JobSize& job, at::ScalarType type) {
  const auto each = static_cast<std::int64_t>(c10::elementSize(type));
  const VaeConfig& vae = files.vae.config;
  const TransformerConfig& transformer = files.transformer.config;
  const TextEncoderConfig& text = files.text_encoder.config;

  const std::int64_t latents = (job.side + vae.factor() - 1) / vae.factor();  // a side
  const std::int64_t image_tokens = 2 * (latents / 2) * (latents / 2);        // target and reference
  const std::int64_t sequence = image_tokens + kTextTokens;
  // Shifts, scales and gates of every block, and the prompt's tokens, for all steps.
  const std::int64_t modulations =
      (12 * transformer.depth + 3 * transformer.single_depth + 2) * transformer.hidden_size;
  const std::int64_t prepared = kPrompts * job.steps * (modulations + kTextTokens * transformer.connector.hidden_size);
  const std::int64_t denoising = (sequence * block_columns(transformer) + prepared) * each;

  const std::int64_t layer = 8 * text.hidden + 5 * text.intermediate;
  const std::int64_t patches = kTextTokens * text.vision.merge_size * text.vision.merge_size;
  const std::int64_t vision_layer = 8 * text.vision.hidden + 5 * text.vision.intermediate;
  const std::int64_t reading = std::max(kPrompts * kTextTokens * layer, patches * vision_layer) * each;

  // The decoder's last level works on the next one's channels at full size, three times at once: input, norm, output.
  const std::int64_t side = job.tiled ? std::min(latents, VaeTiling{}.tile) * vae.factor() : job.side;
  const std::int64_t channels = vae.channels.at(std::min<std::size_t>(1, vae.channels.size() - 1));
  const std::int64_t decoding = 13 * channels * side * side / 4 * kFloatBytes + 16 * std::int64_t{job.side} * job.side;
  const auto bytes = [](std::int64_t count) { return static_cast<std::uint64_t>(count); };
  return {bytes(reading), bytes(denoising), bytes(decoding)};
}

}  // namespace step1x
