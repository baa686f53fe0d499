// What each layout calls the transformer's tensors. The native code, and the pipelines' fork of diffusers:
// https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/model_edit.py
// https://github.com/Peyton-Chen/diffusers/blob/16900b755f21/src/diffusers/models/transformers/transformer_step1x_edit.py

#include <fmt/format.h>

#include <string>

#include "model/transformer_config.hpp"

namespace step1x {

namespace {

struct Piece {
  std::string source;
  std::int64_t rows;
};

// Collects the table; `native` says which of the two names is the source's.
class TransformerTableBuilder {
 public:
  explicit TransformerTableBuilder(bool native) : native_(native) {}

  void tensor(const std::string& name, std::vector<std::int64_t> shape, const std::string& other) {
    table_.push_back(whole_tensor(name, std::move(shape), native_ ? name : other));
  }

  void linear(const std::string& name, std::int64_t out, std::int64_t in, const std::string& other, bool bias = true) {
    tensor(name + ".weight", {out, in}, other + ".weight");
    if (bias) tensor(name + ".bias", {out}, other + ".bias");
  }

  // One matrix here that diffusers has in pieces, one below the other.
  void fused(const std::string& name, std::int64_t in, const std::vector<Piece>& pieces, bool bias) {
    std::int64_t out = 0;
    for (const Piece& piece : pieces) out += piece.rows;
    if (native_) return linear(name, out, in, name, bias);
    TensorPlan weight{name + ".weight", {out, in}, {}};
    TensorPlan offset{name + ".bias", {out}, {}};
    std::int64_t row = 0;
    for (const Piece& piece : pieces) {
      weight.parts.push_back({piece.source + ".weight", {piece.rows, in}, 0, row, piece.rows});
      offset.parts.push_back({piece.source + ".bias", {piece.rows}, 0, row, piece.rows});
      row += piece.rows;
    }
    table_.push_back(std::move(weight));
    if (bias) table_.push_back(std::move(offset));
  }

  // Diffusers has the scale's rows above the shift's.
  void swapped_halves(const std::string& name, std::int64_t half, std::int64_t in, const std::string& other) {
    if (native_) return linear(name, 2 * half, in, name);
    const auto add = [&](const std::string& end, const std::vector<std::int64_t>& shape) {
      table_.push_back({name + end, shape, {{other + end, shape, half, 0, half}, {other + end, shape, 0, half, half}}});
    };
    add(".weight", {2 * half, in});
    add(".bias", {2 * half});
  }

  LoadTable take() { return std::move(table_); }

 private:
  bool native_;
  LoadTable table_;
};

void add_connector(TransformerTableBuilder& table, const TransformerConfig& config) {
  const ConnectorConfig& c = config.connector;
  const auto same = [&](const std::string& name, std::int64_t out, std::int64_t in) {
    table.linear(name, out, in, name);
  };
  const std::int64_t hidden = c.hidden_size;
  same("connector.S.input_embedder", hidden, c.in_channels);
  same("connector.S.t_embedder.mlp.0", hidden, c.timestep_dim);
  same("connector.S.t_embedder.mlp.2", hidden, hidden);
  same("connector.S.c_embedder.linear_1", hidden, c.in_channels);
  same("connector.S.c_embedder.linear_2", hidden, hidden);
  for (std::int64_t i = 0; i < c.depth; ++i) {
    const std::string block = fmt::format("connector.S.individual_token_refiner.blocks.{}", i);
    for (const char* norm : {".norm1", ".norm2"}) {
      for (const char* end : {".weight", ".bias"}) table.tensor(block + norm + end, {hidden}, block + norm + end);
    }
    same(block + ".self_attn_qkv", 3 * hidden, hidden);
    same(block + ".self_attn_proj", hidden, hidden);
    same(block + ".mlp.fc1", 4 * hidden, hidden);
    same(block + ".mlp.fc2", hidden, 4 * hidden);
    same(block + ".adaLN_modulation.1", 2 * hidden, hidden);
  }
  same("connector.global_proj_out", config.pooled_channels, c.in_channels);
  if (c.scaled_mean) table.tensor("connector.scale_factor", {1}, "connector.scale_factor");
}

// All blocks' modulations come before the blocks: an edit computes them once, for all its steps.
void add_modulations(TransformerTableBuilder& table, const TransformerConfig& config) {
  const std::int64_t hidden = config.hidden_size;
  for (std::int64_t i = 0; i < config.depth; ++i) {
    const std::string native = fmt::format("double_blocks.{}.", i);
    const std::string other = fmt::format("transformer_blocks.{}.", i);
    table.linear(native + "img_mod.lin", 6 * hidden, hidden, other + "norm1.linear");
    table.linear(native + "txt_mod.lin", 6 * hidden, hidden, other + "norm1_context.linear");
  }
  for (std::int64_t i = 0; i < config.single_depth; ++i) {
    table.linear(fmt::format("single_blocks.{}.modulation.lin", i), 3 * hidden, hidden,
                 fmt::format("single_transformer_blocks.{}.norm.linear", i));
  }
}

void add_double_block(TransformerTableBuilder& table, const TransformerConfig& config, std::int64_t index) {
  struct Stream {
    const char* name;
    const char *q, *k, *v, *out, *norm_q, *norm_k, *mlp;
  };
  constexpr Stream kStreams[] = {
      {"img", "to_q", "to_k", "to_v", "to_out.0", "norm_q", "norm_k", "ff"},
      {"txt", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "norm_added_q", "norm_added_k", "ff_context"},
  };
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t head = hidden / config.heads;
  for (const Stream& s : kStreams) {
    const std::string native = fmt::format("double_blocks.{}.{}", index, s.name);
    const std::string other = fmt::format("transformer_blocks.{}.", index);
    table.fused(native + "_attn.qkv", hidden,
                {{other + "attn." + s.q, hidden}, {other + "attn." + s.k, hidden}, {other + "attn." + s.v, hidden}},
                config.qkv_bias);
    table.tensor(native + "_attn.norm.query_norm.scale", {head}, other + "attn." + s.norm_q + ".weight");
    table.tensor(native + "_attn.norm.key_norm.scale", {head}, other + "attn." + s.norm_k + ".weight");
    table.linear(native + "_attn.proj", hidden, hidden, other + "attn." + s.out);
    table.linear(native + "_mlp.0", config.mlp_size, hidden, other + s.mlp + ".net.0.proj");
    table.linear(native + "_mlp.2", hidden, config.mlp_size, other + s.mlp + ".net.2");
  }
}

void add_single_block(TransformerTableBuilder& table, const TransformerConfig& config, std::int64_t index) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t head = hidden / config.heads;
  const std::string native = fmt::format("single_blocks.{}.", index);
  const std::string other = fmt::format("single_transformer_blocks.{}.", index);
  table.fused(native + "linear1", hidden,
              {{other + "attn.to_q", hidden},
               {other + "attn.to_k", hidden},
               {other + "attn.to_v", hidden},
               {other + "proj_mlp", config.mlp_size}},
              true);
  table.linear(native + "linear2", hidden, hidden + config.mlp_size, other + "proj_out");
  table.tensor(native + "norm.query_norm.scale", {head}, other + "attn.norm_q.weight");
  table.tensor(native + "norm.key_norm.scale", {head}, other + "attn.norm_k.weight");
}

}  // namespace

LoadTable transformer_table(const TransformerConfig& config, LayoutKind layout) {
  TransformerTableBuilder table(layout == LayoutKind::flat);
  const std::int64_t hidden = config.hidden_size;
  add_connector(table, config);
  if (config.text_token_mapping) {
    table.linear("text_token_mapping", config.connector.hidden_size, config.connector.in_channels,
                 "text_token_mapping");
  }
  table.linear("time_in.in_layer", hidden, config.timestep_dim, "time_embed.in_layer");
  table.linear("time_in.out_layer", hidden, hidden, "time_embed.out_layer");
  table.linear("vector_in.in_layer", hidden, config.pooled_channels, "vec_embed.in_layer");
  table.linear("vector_in.out_layer", hidden, hidden, "vec_embed.out_layer");
  add_modulations(table, config);
  table.linear("img_in", hidden, config.in_channels, "x_embedder");
  table.linear("txt_in", hidden, config.connector.hidden_size, "context_embedder");
  for (std::int64_t i = 0; i < config.depth; ++i) add_double_block(table, config, i);
  for (std::int64_t i = 0; i < config.single_depth; ++i) add_single_block(table, config, i);
  table.swapped_halves("final_layer.adaLN_modulation.1", hidden, hidden, "norm_out.linear");
  table.linear("final_layer.linear", config.out_channels, hidden, "proj_out");
  return table.take();
}

}  // namespace step1x
