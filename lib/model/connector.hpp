// The connector between text encoder and transformer: turns the encoder's states into the transformer's text tokens and
// one pooled vector, for a given time. Const after construction; pure; any thread.
//
// It masks what is not part of the prompt, so that kept rows depend on kept rows only, and rows of padding that hold
// the same are the same afterwards too.
#pragma once

#include <optional>
#include <vector>

#include "model/transformer_config.hpp"
#include "nn/embeddings.hpp"
#include "nn/layers.hpp"

namespace step1x {

struct ConnectorInput {
  at::Tensor states;  // (batch, n, in_channels)
  at::Tensor kept;    // (batch, n): true or not 0 for a row of the prompt, the first of which must be kept
  at::Tensor t;       // (batch), 0..1, float32
  // v1.2, or undefined: the encoder's own embeddings of the tokens, and which of them are quoted characters.
  at::Tensor embeddings;  // (batch, n, in_channels)
  at::Tensor quoted;      // (batch, n)
};

struct ConnectorOutput {
  at::Tensor tokens;  // (batch, n, hidden_size)
  at::Tensor pooled;  // (batch, pooled_channels)
};

class Connector {
 public:
  Connector(const TransformerConfig& config, const Weights& weights);
  ConnectorOutput forward(const ConnectorInput& input) const;
  // The time's part of the modulation: t (batch), 0..1 -> (batch, hidden_size).
  at::Tensor time_vector(const at::Tensor& t) const;

 private:
  struct Block {
    Block(const Weights& weights, const std::string& name, const ConnectorConfig& config);
    at::Tensor forward(const at::Tensor& x, const at::Tensor& c, const at::Tensor& mask) const;

    std::int64_t heads;
    at::Tensor norm1_weight, norm1_bias, norm2_weight, norm2_bias;
    Linear qkv, proj, fc1, fc2, modulation;
  };

  ConnectorConfig config_;
  Linear input_;
  EmbeddingMlp time_;
  EmbeddingMlp context_;
  std::vector<Block> blocks_;
  Linear pooled_;
  at::Tensor scale_factor_;             // undefined but in v1.0
  std::optional<Linear> text_mapping_;  // v1.2
};

}  // namespace step1x
