#include "model/transformer.hpp"

#include <fmt/format.h>

namespace step1x {

Modulations Modulations::rows(std::int64_t first, std::int64_t count) const {
  Modulations part;
  for (const DoubleBlock::Streams& block : double_blocks) {
    part.double_blocks.push_back({block.img.narrow(0, first, count), block.txt.narrow(0, first, count)});
  }
  for (const at::Tensor& block : single_blocks) part.single_blocks.push_back(block.narrow(0, first, count));
  part.final_layer = final_layer.narrow(0, first, count);
  return part;
}

Transformer::Transformer(const TransformerConfig& config, const Weights& weights)
    : config_(config),
      img_in_(weights, "img_in", config.in_channels, config.hidden_size),
      txt_in_(weights, "txt_in", config.connector.hidden_size, config.hidden_size),
      time_in_(weights, "time_in.in_layer", "time_in.out_layer", config.timestep_dim, config.hidden_size),
      vector_in_(weights, "vector_in.in_layer", "vector_in.out_layer", config.pooled_channels, config.hidden_size),
      final_(weights, "final_layer", config) {
  for (std::int64_t i = 0; i < config.depth; ++i) {
    double_blocks_.emplace_back(weights, fmt::format("double_blocks.{}", i), config);
  }
  for (std::int64_t i = 0; i < config.single_depth; ++i) {
    single_blocks_.emplace_back(weights, fmt::format("single_blocks.{}", i), config);
  }
}

RopeTable Transformer::rope(const at::Tensor& ids) const {
  return rope_table(ids, config_.axes_dim, config_.theta);
}

at::Tensor Transformer::time_vector(const at::Tensor& t) const {
  return time_in_(timestep_embedding(t * 1000, config_.timestep_dim));
}

at::Tensor Transformer::pooled_vector(const at::Tensor& pooled) const {
  return vector_in_(pooled);
}

at::Tensor Transformer::condition(const at::Tensor& t, const at::Tensor& pooled) const {
  return time_vector(t) + pooled_vector(pooled);
}

Modulations Transformer::modulate(const at::Tensor& condition) const {
  Modulations all;
  for (const DoubleBlock& block : double_blocks_) all.double_blocks.push_back(block.modulate(condition));
  for (const SingleBlock& block : single_blocks_) all.single_blocks.push_back(block.modulate(condition));
  all.final_layer = final_.modulate(condition);
  return all;
}

// The last single block and the final layer. x: (batch, length + n, hidden) -> (batch, n or targets, out_channels)
at::Tensor Transformer::last_block(const TransformerInput& input, const at::Tensor& x, const Options& options) const {
  const SingleBlock& block = single_blocks_.back();
  const at::Tensor& modulation = input.modulations.single_blocks.back();
  const std::int64_t length = input.txt.size(1);
  if (options.targets > 0) {
    const at::Tensor img = block.forward_part(x, modulation, input.sequence, length, options.targets);
    return final_.forward(img, input.modulations.final_layer);
  }
  const at::Tensor all = block.forward(x, modulation, input.sequence);
  if (options.after_block) options.after_block(fmt::format("single{}", single_blocks_.size() - 1), all);
  const at::Tensor img = all.narrow(1, length, input.img.size(1));
  if (options.after_block) options.after_block("norm", final_.normalize(img, input.modulations.final_layer));
  return final_.forward(img, input.modulations.final_layer);
}

// Step1XEdit.forward: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/model_edit.py#L198-L248
std::vector<at::Tensor> Transformer::forward(std::span<const TransformerInput> inputs, const Options& options) const {
  const auto report = [&](const char* kind, std::size_t block, const char* end, const at::Tensor& x) {
    if (options.after_block) options.after_block(fmt::format("{}{}{}", kind, block, end), x);
  };
  std::vector<DoubleBlock::Streams> streams;
  for (const TransformerInput& input : inputs) {
    // (batch, n, hidden), (batch, length, hidden)
    streams.push_back({img_in_(input.img.to(img_in_.dtype())), txt_in_(input.txt.to(txt_in_.dtype()))});
  }
  for (std::size_t block = 0; block < double_blocks_.size(); ++block) {
    const BlockInUse in_use = double_blocks_[block].in_use();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      streams[i] =
          double_blocks_[block].forward(streams[i], inputs[i].modulations.double_blocks[block], inputs[i].sequence);
      report("double", block, ".img", streams[i].img);
      report("double", block, ".txt", streams[i].txt);
    }
  }
  std::vector<at::Tensor> x;
  x.reserve(streams.size());
  for (const DoubleBlock::Streams& each : streams) x.push_back(at::cat({each.txt, each.img}, 1));
  streams.clear();
  for (std::size_t block = 0; block + 1 < single_blocks_.size(); ++block) {
    const BlockInUse in_use = single_blocks_[block].in_use();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      x[i] = single_blocks_[block].forward(x[i], inputs[i].modulations.single_blocks[block], inputs[i].sequence);
      report("single", block, "", x[i]);
    }
  }
  std::vector<at::Tensor> out;
  out.reserve(inputs.size());
  const BlockInUse in_use = single_blocks_.back().in_use();
  for (std::size_t i = 0; i < inputs.size(); ++i) out.push_back(last_block(inputs[i], x[i], options));
  return out;
}

at::Tensor Transformer::forward(const TransformerInput& input) const {
  return forward(std::span(&input, 1), Options()).front();
}

}  // namespace step1x
