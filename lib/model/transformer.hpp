// The transformer: predicts the velocity of every image token from image tokens, text tokens and time. Const after
// construction; pure; any thread. Gradients are the caller's choice.
//
// Several inputs (the prompt's and the negative prompt's) go through block by block together, so that each block's
// weights are used for all of them before the next one's; they may differ in length.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "model/transformer_blocks.hpp"
#include "nn/embeddings.hpp"

namespace step1x {

// Shifts, scales and gates of every block, one row per (step and) sequence.
struct Modulations {
  std::vector<DoubleBlock::Streams> double_blocks;  // (rows, 6 * hidden) each
  std::vector<at::Tensor> single_blocks;            // (rows, 3 * hidden)
  at::Tensor final_layer;                           // (rows, 2 * hidden)

  Modulations rows(std::int64_t first, std::int64_t count) const;
};

struct TransformerInput {
  at::Tensor img;  // (batch, n, in_channels): target, then reference
  at::Tensor txt;  // (batch, length, connector.hidden_size)
  Sequence sequence;
  Modulations modulations;  // one row per sequence of the batch, or one for all
};

class Transformer {
 public:
  Transformer(const TransformerConfig& config, const Weights& weights);

  const TransformerConfig& config() const { return config_; }

  // The rope table of text and image. ids: (batch or 1, tokens, 3)
  RopeTable rope(const at::Tensor& ids) const;

  // What modulates all blocks. t: (rows), 0..1, float32; pooled: (rows, pooled_channels) -> (rows, hidden)
  at::Tensor condition(const at::Tensor& t, const at::Tensor& pooled) const;
  at::Tensor time_vector(const at::Tensor& t) const;
  at::Tensor pooled_vector(const at::Tensor& pooled) const;
  Modulations modulate(const at::Tensor& condition) const;

  struct Options {
    // Only the first tokens of img are wanted: the last block and the final layer compute no others. 0: all.
    std::int64_t targets = 0;
    // Called with "double0.img", "double0.txt", "single0", ..., "norm" and the tensor after it, once for every input.
    // It may throw, which ends the forward pass.
    std::function<void(std::string_view, const at::Tensor&)> after_block;
  };
  // -> (batch, n or targets, out_channels) for each input
  std::vector<at::Tensor> forward(std::span<const TransformerInput> inputs, const Options& options) const;
  at::Tensor forward(const TransformerInput& input) const;

  const std::vector<DoubleBlock>& double_blocks() const { return double_blocks_; }
  const std::vector<SingleBlock>& single_blocks() const { return single_blocks_; }
  const FinalLayer& final_layer() const { return final_; }

 private:
  at::Tensor last_block(const TransformerInput& input, const at::Tensor& x, const Options& options) const;

  TransformerConfig config_;
  Linear img_in_;
  Linear txt_in_;
  EmbeddingMlp time_in_;
  EmbeddingMlp vector_in_;
  std::vector<DoubleBlock> double_blocks_;
  std::vector<SingleBlock> single_blocks_;
  FinalLayer final_;
};

}  // namespace step1x
