#include "model/transformer_config.hpp"

#include <fmt/format.h>

#include <numeric>

#include "nn/config_reader.hpp"

namespace step1x {

namespace {

// Far beyond any that is in use: of the base of the rotation's angles.
constexpr double kMostTheta = 1e12;

std::array<double, 3> reference_offset(ModelVersion version) {
  switch (version) {
    case ModelVersion::v1_0:
      return {0, 0, 0};
    case ModelVersion::v1_1:
      return {1, 1, 1};
    default:
      return {1, 0, 0};
  }
}

void check(const ConfigReader& file, const std::string& key, bool good, const std::string& expected) {
  if (!good) file.fail(key, expected);
}

void read_native(TransformerConfig& config, const ConfigReader& file) {
  ConfigReader dit = file.section("dit");
  dit.read("in_channels", config.in_channels);
  dit.read("out_channels", config.out_channels);
  dit.read("vec_in_dim", config.pooled_channels);
  dit.read("hidden_size", config.hidden_size);
  dit.read("num_heads", config.heads);
  dit.read_count("depth", config.depth);
  dit.read_count("depth_single_blocks", config.single_depth);
  dit.read("axes_dim", config.axes_dim);
  dit.read("theta", config.theta, 1, kMostTheta);
  dit.read("qkv_bias", config.qkv_bias);
  double ratio = 4;
  dit.read("mlp_ratio", ratio, 0.01, 100);
  config.mlp_size = static_cast<std::int64_t>(static_cast<double>(config.hidden_size) * ratio);

  ConfigReader connector = file.section("connector");
  connector.read("in_channels", config.connector.in_channels);
  connector.read("hidden_size", config.connector.hidden_size);
  connector.read("heads_num", config.connector.heads);
  connector.read_count("depth", config.connector.depth);
  std::int64_t context = config.connector.hidden_size;
  dit.read("context_in_dim", context);
  check(dit, "context_in_dim", context == config.connector.hidden_size,
        fmt::format("connector.hidden_size, {}", config.connector.hidden_size));
  dit.complete();
  connector.complete();
}

void read_diffusers(TransformerConfig& config, ConfigReader& file) {
  std::int64_t head_dim = config.hidden_size / config.heads;
  file.require("_class_name", "Step1XEditTransformer2DModel");
  file.require("guidance_embeds", false);
  file.require("patch_size", 1);
  file.read("attention_head_dim", head_dim);
  file.read("num_attention_heads", config.heads);
  file.read("in_channels", config.in_channels);
  config.out_channels = config.in_channels;
  if (file.has("out_channels") && !file.content()["out_channels"].is_null()) {
    file.read("out_channels", config.out_channels);
  }
  file.read("vector_in_dim", config.pooled_channels);
  file.read_count("num_layers", config.depth);
  file.read_count("num_single_layers", config.single_depth);
  file.read("axes_dims_rope", config.axes_dim);
  file.read("timestep_in_dim", config.timestep_dim);
  file.read("enable_text_token_mapping", config.text_token_mapping);
  file.read("connector_in_channels", config.connector.in_channels);
  file.read("connector_hidden_size", config.connector.hidden_size);
  file.read("connector_heads_num", config.connector.heads);
  file.read_count("connector_depth", config.connector.depth);
  config.hidden_size = config.heads * head_dim;
  config.mlp_size = 4 * config.hidden_size;
  std::int64_t context = config.connector.hidden_size;
  file.read("joint_attention_dim", context);
  check(file, "joint_attention_dim", context == config.connector.hidden_size,
        fmt::format("connector_hidden_size, {}", config.connector.hidden_size));
  file.complete();
}

}  // namespace

TransformerConfig transformer_config(const ModelLayout& layout) {
  TransformerConfig config;
  config.connector.scaled_mean = layout.version == ModelVersion::v1_0;
  config.reference_offset = reference_offset(layout.version);
  const bool flat = layout.kind == LayoutKind::flat;
  const std::filesystem::path& path = flat ? layout.config : layout.transformer_config;
  if (path.empty()) return config;

  ConfigReader file(path);
  if (flat) {
    read_native(config, file);
  } else {
    config.text_token_mapping = layout.version == ModelVersion::v1_2;
    read_diffusers(config, file);
  }
  const ConfigReader part = flat ? file.section("dit") : file;
  check(part, flat ? "num_heads" : "num_attention_heads", config.hidden_size % config.heads == 0,
        fmt::format("a divisor of the width {}", config.hidden_size));
  const std::int64_t head = config.hidden_size / config.heads;
  bool even = true;
  for (const std::int64_t axis : config.axes_dim) even = even && axis % 2 == 0;
  check(part, flat ? "axes_dim" : "axes_dims_rope",
        config.axes_dim.size() == 3 && even &&
            std::accumulate(config.axes_dim.begin(), config.axes_dim.end(), std::int64_t{0}) == head,
        fmt::format("three even numbers whose sum is {}, the width of a head", head));
  check(flat ? file.section("connector") : file, flat ? "heads_num" : "connector_heads_num",
        config.connector.hidden_size % config.connector.heads == 0,
        fmt::format("a divisor of the connector's width {}", config.connector.hidden_size));
  return config;
}

std::vector<BlockCount> block_counts(const TransformerConfig& config, LayoutKind layout) {
  const bool flat = layout == LayoutKind::flat;
  return {{flat ? "dit.depth" : "num_layers", config.depth, flat ? "double_blocks." : "transformer_blocks."},
          {flat ? "dit.depth_single_blocks" : "num_single_layers", config.single_depth,
           flat ? "single_blocks." : "single_transformer_blocks."},
          {flat ? "connector.depth" : "connector_depth", config.connector.depth,
           "connector.S.individual_token_refiner.blocks."}};
}

}  // namespace step1x
