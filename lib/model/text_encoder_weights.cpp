#include "model/text_encoder_weights.hpp"

#include <fmt/format.h>

#include <string>
#include <utility>

namespace step1x {

namespace {

using Shape = std::vector<std::int64_t>;

class Table {
 public:
  // `ours` and `theirs` begin the names of the model code and of the checkpoint.
  void prefix(std::string ours, std::string theirs) {
    ours_ = std::move(ours);
    theirs_ = std::move(theirs);
  }

  void whole(const std::string& name, Shape shape) {
    rows_.push_back(whole_tensor(ours_ + name, std::move(shape), theirs_ + name));
  }

  void weight_and_bias(const std::string& name, std::int64_t out, std::int64_t in) {
    whole(name + ".weight", {out, in});
    whole(name + ".bias", {out});
  }

  // Stacks `parts` (name, rows) along the rows; `columns` is 0 for vectors.
  void joined(const std::string& name, const std::vector<std::pair<std::string, std::int64_t>>& parts,
              const std::string& suffix, std::int64_t columns) {
    const auto shape = [&](std::int64_t rows) { return columns == 0 ? Shape{rows} : Shape{rows, columns}; };
    TensorPlan plan{ours_ + name + suffix, {}, {}};
    std::int64_t row = 0;
    for (const auto& [part, rows] : parts) {
      plan.parts.push_back({theirs_ + part + suffix, shape(rows), 0, row, rows});
      row += rows;
    }
    plan.shape = shape(row);
    rows_.push_back(std::move(plan));
  }

  LoadTable take() { return std::move(rows_); }

 private:
  std::string ours_;
  std::string theirs_;
  LoadTable rows_;
};

void add_vision(Table& table, const TextEncoderConfig& config) {
  const VisionConfig& vision = config.vision;
  table.whole("patch_embed.proj.weight",
              {vision.hidden, vision.channels, vision.temporal_patch_size, vision.patch_size, vision.patch_size});
  for (std::int64_t i = 0; i < vision.layers; ++i) {
    const std::string layer = fmt::format("blocks.{}.", i);
    table.whole(layer + "norm1.weight", {vision.hidden});
    table.weight_and_bias(layer + "attn.qkv", 3 * vision.hidden, vision.hidden);
    table.weight_and_bias(layer + "attn.proj", vision.hidden, vision.hidden);
    table.whole(layer + "norm2.weight", {vision.hidden});
    const std::vector<std::pair<std::string, std::int64_t>> gate_up{{layer + "mlp.gate_proj", vision.intermediate},
                                                                    {layer + "mlp.up_proj", vision.intermediate}};
    table.joined(layer + "mlp.gate_up", gate_up, ".weight", vision.hidden);
    table.joined(layer + "mlp.gate_up", gate_up, ".bias", 0);
    table.weight_and_bias(layer + "mlp.down_proj", vision.hidden, vision.intermediate);
  }
  table.whole("merger.ln_q.weight", {vision.hidden});
  table.weight_and_bias("merger.mlp.0", vision.merged(), vision.merged());
  table.weight_and_bias("merger.mlp.2", config.hidden, vision.merged());
}

void add_text(Table& table, const TextEncoderConfig& config) {
  const std::int64_t kv = config.kv_heads * config.head_dim();
  table.whole("embed_tokens.weight", {config.vocabulary, config.hidden});
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const std::string layer = fmt::format("layers.{}.", i);
    table.whole(layer + "input_layernorm.weight", {config.hidden});
    const std::vector<std::pair<std::string, std::int64_t>> qkv{{layer + "self_attn.q_proj", config.hidden},
                                                                {layer + "self_attn.k_proj", kv},
                                                                {layer + "self_attn.v_proj", kv}};
    table.joined(layer + "self_attn.qkv", qkv, ".weight", config.hidden);
    table.joined(layer + "self_attn.qkv", qkv, ".bias", 0);
    table.whole(layer + "self_attn.o_proj.weight", {config.hidden, config.hidden});
    table.whole(layer + "post_attention_layernorm.weight", {config.hidden});
    const std::vector<std::pair<std::string, std::int64_t>> gate_up{{layer + "mlp.gate_proj", config.intermediate},
                                                                    {layer + "mlp.up_proj", config.intermediate}};
    table.joined(layer + "mlp.gate_up", gate_up, ".weight", config.hidden);
    table.whole(layer + "mlp.down_proj.weight", {config.hidden, config.intermediate});
  }
  table.whole("norm.weight", {config.hidden});
}

}  // namespace

TextEncoderNames text_encoder_names(const Checkpoint& checkpoint) {
  TextEncoderNames names;
  if (checkpoint.find("model.visual.patch_embed.proj.weight") != nullptr) names.vision = "model.visual.";
  if (checkpoint.find("model.language_model.embed_tokens.weight") != nullptr) names.text = "model.language_model.";
  return names;
}

LoadTable text_encoder_table(const TextEncoderConfig& config, const TextEncoderNames& names) {
  Table table;
  table.prefix("visual.", names.vision);
  add_vision(table, config);
  table.prefix("text.", names.text);
  add_text(table, config);
  return table.take();
}

std::vector<BlockCount> block_counts(const TextEncoderConfig& config, const TextEncoderNames& names) {
  return {{"num_hidden_layers", config.layers, names.text + "layers."},
          {"vision_config.depth", config.vision.layers, names.vision + "blocks."}};
}

TextEncoderFiles open_text_encoder(const ModelLayout& layout) {
  Checkpoint checkpoint(layout.text_encoder);
  check_text_encoder(checkpoint, layout);
  const TextEncoderConfig config = read_text_encoder_config(layout.text_encoder_config);
  const TextEncoderNames names = text_encoder_names(checkpoint);
  check_counts(checkpoint, layout.text_encoder_config, block_counts(config, names));
  LoadTable table = text_encoder_table(config, names);
  std::vector<ExpectedTensor> expected;
  for (const TensorPlan& plan : table) {
    for (const TensorPart& part : plan.parts) expected.push_back({part.source, part.source_shape});
  }
  checkpoint.expect(expected);
  check_weights(checkpoint, table);
  return {config, std::move(checkpoint), std::move(table)};
}

}  // namespace step1x
