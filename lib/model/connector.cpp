#include "model/connector.hpp"

#include <fmt/format.h>

namespace step1x {

namespace {

constexpr double kConnectorEpsilon = 1e-6;
constexpr const char* kRefiner = "connector.S.";

// Weighted mean of the kept rows, in float32. x: (batch, n, d), kept: (batch, n) -> (batch, d)
at::Tensor kept_mean(const at::Tensor& x, const at::Tensor& kept) {
  const at::Tensor weight = kept.to(at::kFloat).unsqueeze(-1);  // (batch, n, 1)
  return (x.to(at::kFloat) * weight).sum(1) / weight.sum(1);
}

// Which keys a row may see: kept rows each other; and every row the first, so that none is without.
// kept: (batch, n) -> (batch, 1, n, n)
at::Tensor visible(const at::Tensor& kept) {
  const at::Tensor row = kept.to(at::kBool).unsqueeze(1).unsqueeze(-1);                      // (batch, 1, n, 1)
  const at::Tensor first = at::arange(kept.size(1), kept.options().dtype(at::kLong)).eq(0);  // (n)
  return row.logical_and(row.transpose(-1, -2)).logical_or(first);
}

}  // namespace

Connector::Block::Block(const Weights& weights, const std::string& name, const ConnectorConfig& config)
    : heads(config.heads),
      norm1_weight(weights.at(name + ".norm1.weight", {config.hidden_size})),
      norm1_bias(weights.at(name + ".norm1.bias", {config.hidden_size})),
      norm2_weight(weights.at(name + ".norm2.weight", {config.hidden_size})),
      norm2_bias(weights.at(name + ".norm2.bias", {config.hidden_size})),
      qkv(weights, name + ".self_attn_qkv", config.hidden_size, 3 * config.hidden_size),
      proj(weights, name + ".self_attn_proj", config.hidden_size, config.hidden_size),
      fc1(weights, name + ".mlp.fc1", config.hidden_size, 4 * config.hidden_size),
      fc2(weights, name + ".mlp.fc2", 4 * config.hidden_size, config.hidden_size),
      modulation(weights, name + ".adaLN_modulation.1", config.hidden_size, 2 * config.hidden_size) {}

// IndividualTokenRefinerBlock.forward:
// https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/connector_edit.py#L180-L207
// x: (batch, n, hidden), c: (batch, hidden), mask: (batch, 1, n, n)
at::Tensor Connector::Block::forward(const at::Tensor& x, const at::Tensor& c, const at::Tensor& mask) const {
  const std::int64_t hidden = x.size(-1);
  const std::vector<at::Tensor> gates = modulation(at::silu(c)).unsqueeze(1).chunk(2, -1);  // 2 x (batch, 1, hidden)
  const at::Tensor normed = at::layer_norm(x, {hidden}, norm1_weight, norm1_bias, kConnectorEpsilon);
  const at::Tensor heads_first =
      qkv(normed).unflatten(-1, {3, heads, hidden / heads}).permute({2, 0, 3, 1, 4});  // (3, batch, heads, n, d)
  const at::Tensor attended = attention(heads_first[0], heads_first[1], heads_first[2], mask);
  const at::Tensor merged = attended.transpose(1, 2).flatten(2);  // (batch, n, hidden)
  const at::Tensor between = x + proj(merged) * gates[0];
  const at::Tensor normed2 = at::layer_norm(between, {hidden}, norm2_weight, norm2_bias, kConnectorEpsilon);
  return between + fc2(at::silu(fc1(normed2))) * gates[1];
}

Connector::Connector(const TransformerConfig& config, const Weights& weights)
    : config_(config.connector),
      input_(weights, kRefiner + std::string("input_embedder"), config_.in_channels, config_.hidden_size),
      time_(weights, kRefiner + std::string("t_embedder.mlp.0"), kRefiner + std::string("t_embedder.mlp.2"),
            config_.timestep_dim, config_.hidden_size),
      context_(weights, kRefiner + std::string("c_embedder.linear_1"), kRefiner + std::string("c_embedder.linear_2"),
               config_.in_channels, config_.hidden_size),
      pooled_(weights, "connector.global_proj_out", config_.in_channels, config.pooled_channels) {
  for (std::int64_t i = 0; i < config_.depth; ++i) {
    blocks_.emplace_back(weights, fmt::format("{}individual_token_refiner.blocks.{}", kRefiner, i), config_);
  }
  if (config_.scaled_mean) scale_factor_ = weights.at("connector.scale_factor", {1});
  if (config.text_token_mapping) {
    text_mapping_.emplace(weights, "text_token_mapping", config_.in_channels, config_.hidden_size);
  }
}

// TimestepEmbedder.forward: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/layers.py#L336-L341
// It is called with 1000 t.
at::Tensor Connector::time_vector(const at::Tensor& t) const {
  return time_(timestep_embedding(t * 1000, config_.timestep_dim));
}

// Qwen2Connector.forward:
// https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/connector_edit.py#L477-L486
// SingleTokenRefiner.forward:
// https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/connector_edit.py#L426-L452
ConnectorOutput Connector::forward(const ConnectorInput& input) const {
  const at::Tensor x = input.states.to(input_.dtype());
  const at::Tensor mean = kept_mean(x, input.kept);  // (batch, in)
  const at::Tensor scaled = scale_factor_.defined() ? mean * (scale_factor_.to(at::kFloat) + 1) : mean;

  const at::Tensor c = time_vector(input.t) + context_(mean);  // (batch, hidden)
  const at::Tensor mask = visible(input.kept);
  at::Tensor tokens = input_(x);  // (batch, n, hidden)
  for (const Block& block : blocks_) tokens = block.forward(tokens, c, mask);
  // pipelines of v1.2: quoted characters are passed by the encoder
  if (text_mapping_ && input.embeddings.defined()) {
    const at::Tensor spelled = (*text_mapping_)(input.embeddings.to(input_.dtype()));
    tokens = tokens + spelled * input.quoted.to(spelled.scalar_type()).unsqueeze(-1);
  }
  return {tokens, pooled_(scaled.to(pooled_.dtype()))};
}

}  // namespace step1x
