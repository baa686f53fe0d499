// The blocks of the transformer. Each is const after construction and pure; any thread.
//
// A block takes its modulation (shifts, scales and gates, made of time and pooled text) as a tensor, so that those of
// all steps can be computed at once. Tokens are text first, then target, then reference.
#pragma once

#include <cstdint>
#include <string>

#include "model/transformer_config.hpp"
#include "nn/layers.hpp"
#include "nn/rope.hpp"

namespace step1x {

// q and k norms, heads and rope: what turns the output of a qkv map into attention's inputs.
class QkvNorm {
 public:
  QkvNorm(const Weights& weights, const std::string& name, const TransformerConfig& config);
  struct Heads {
    at::Tensor q, k, v;  // (batch, heads, n, head_dim)
  };
  // (batch, n, 3 * hidden) -> heads
  Heads split(const at::Tensor& qkv) const;
  // One third of it, with the norm of queries or keys. (batch, n, hidden) -> (batch, heads, n, head_dim)
  at::Tensor queries(const at::Tensor& x) const;
  at::Tensor keys(const at::Tensor& x) const;
  at::Tensor values(const at::Tensor& x) const;

 private:
  std::int64_t heads_;
  at::Tensor query_scale_;
  at::Tensor key_scale_;
};

// What both kinds of blocks share about the sequence they work on.
struct Sequence {
  RopeTable rope;        // of all tokens
  RepeatedKey repeated;  // a token that stands for several as a key
};

class DoubleBlock {
 public:
  DoubleBlock(const Weights& weights, const std::string& name, const TransformerConfig& config);

  struct Streams {
    at::Tensor img;  // (batch, n, hidden)
    at::Tensor txt;  // (batch, length, hidden)
  };
  // vec: (rows, hidden) -> (rows, 6 * hidden) each
  Streams modulate(const at::Tensor& vec) const;
  // REQUIRES: in_use() lives.
  Streams forward(const Streams& x, const Streams& modulation, const Sequence& sequence) const;
  // Has what forward reads in place, where weights are streamed.
  BlockInUse in_use() const { return BlockInUse(block_); }

 private:
  struct Half {
    Half(const Weights& weights, const std::string& name, const TransformerConfig& config);
    at::Tensor mlp(const at::Tensor& x, const std::vector<at::Tensor>& modulation) const;
    Linear modulation, qkv, proj, mlp_in, mlp_out;
    QkvNorm norm;
  };
  StreamedBlock modulation_block_;
  StreamedBlock block_;
  Half img_;
  Half txt_;
};

class SingleBlock {
 public:
  SingleBlock(const Weights& weights, const std::string& name, const TransformerConfig& config);

  // vec: (rows, hidden) -> (rows, 3 * hidden)
  at::Tensor modulate(const at::Tensor& vec) const;
  // x: (batch, tokens, hidden) -> the same
  // REQUIRES: in_use() lives; so for forward_part.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& modulation, const Sequence& sequence) const;
  // The tokens [first, first + count) of what forward gives: the others serve as keys and values only.
  at::Tensor forward_part(const at::Tensor& x, const at::Tensor& modulation, const Sequence& sequence,
                          std::int64_t first, std::int64_t count) const;
  BlockInUse in_use() const { return BlockInUse(block_); }

 private:
  StreamedBlock modulation_block_;
  StreamedBlock block_;
  std::int64_t hidden_;
  std::int64_t mlp_size_;
  Linear modulation_, linear1_, linear2_;
  QkvNorm norm_;
};

class FinalLayer {
 public:
  FinalLayer(const Weights& weights, const std::string& name, const TransformerConfig& config);
  // vec: (rows, hidden) -> (rows, 2 * hidden)
  at::Tensor modulate(const at::Tensor& vec) const;
  // The norm alone. (batch, n, hidden) -> the same
  at::Tensor normalize(const at::Tensor& x, const at::Tensor& modulation) const;
  // (batch, n, hidden) -> (batch, n, out_channels)
  at::Tensor forward(const at::Tensor& x, const at::Tensor& modulation) const;

 private:
  Linear modulation_, linear_;
};

}  // namespace step1x
