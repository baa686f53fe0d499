#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "checks.hpp"
#include "hash_tensor.hpp"
#include "model/loading.hpp"

namespace step1x::test {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

TransformerConfig block_config(const json& about) {
  const json& config = about.at("config");
  TransformerConfig result;
  result.hidden_size = config.at("hidden_size").get<std::int64_t>();
  result.heads = config.at("num_heads").get<std::int64_t>();
  result.mlp_size =
      static_cast<std::int64_t>(static_cast<double>(result.hidden_size) * config.at("mlp_ratio").get<double>());
  result.axes_dim = config.at("axes_dim").get<std::vector<std::int64_t>>();
  result.theta = config.at("theta").get<double>();
  result.qkv_bias = config.at("qkv_bias").get<bool>();
  return result;
}

// All weights of the case, each checked against its sum.
Weights hash_weights(const json& about, const std::string& prefix, Comparisons& result) {
  const json& rule = about.at("weight_rule");
  Weights::Tensors tensors;
  for (const json& each : about.at("weights")) {
    const at::Tensor tensor = hash_tensor(rule.at("seed").get<std::uint64_t>(), each);
    result.push_back({each.at("name").get<std::string>(),
                      std::abs(tensor.sum(at::kDouble).item<double>() - each.at("sum").get<double>()),
                      about.at("tolerance").at("weight_sum_abs").get<double>()});
    tensors.emplace(prefix + "." + each.at("name").get<std::string>(), tensor);
  }
  return {std::move(tensors), "the hash rule"};
}

double rms(const at::Tensor& difference) {
  return std::sqrt(difference.to(at::kDouble).square().mean().item<double>());
}

}  // namespace

Comparisons check_single_block(const fs::path& path, const json& about) {
  const SafetensorsFile file(path);
  const double absolute = about.at("tolerance").at("abs").get<double>();
  const double relative = about.at("tolerance").at("rel").get<double>();
  Comparisons result;
  const TransformerConfig config = block_config(about);
  const SingleBlock block(hash_weights(about, "block", result), "block", config);
  const RopeTable rope = rope_table(golden_tensor(file, "ids"), config.axes_dim, config.theta);
  const at::Tensor x = golden_tensor(file, "x");
  const at::Tensor out = golden_tensor(file, "out");
  const at::Tensor modulation = block.modulate(golden_tensor(file, "vec"));
  result.push_back(compare_relative("out", block.forward(x, modulation, {rope, {}}), out, absolute, relative));
  const auto text = about.at("config").at("text_tokens").get<std::int64_t>();
  const std::int64_t count = about.at("config").at("image_tokens").get<std::int64_t>() / 2;
  result.push_back(compare_relative("out, target tokens alone",
                                    block.forward_part(x, modulation, {rope, {}}, text, count),
                                    out.narrow(1, text, count), absolute, relative));
  return result;
}

Comparisons check_double_block(const fs::path& path, const json& about) {
  const SafetensorsFile file(path);
  const double absolute = about.at("tolerance").at("abs").get<double>();
  const double relative = about.at("tolerance").at("rel").get<double>();
  Comparisons result;
  const TransformerConfig config = block_config(about);
  const DoubleBlock block(hash_weights(about, "block.", result), "block.", config);
  const RopeTable rope = rope_table(golden_tensor(file, "ids"), config.axes_dim, config.theta);
  const DoubleBlock::Streams out = block.forward({golden_tensor(file, "img"), golden_tensor(file, "txt")},
                                                 block.modulate(golden_tensor(file, "vec")), {rope, {}});
  result.push_back(compare_relative("img_out", out.img, golden_tensor(file, "img_out"), absolute, relative));
  result.push_back(compare_relative("txt_out", out.txt, golden_tensor(file, "txt_out"), absolute, relative));
  return result;
}

Comparisons check_bf16(const fs::path& path, const json& about) {
  const SafetensorsFile file(path);
  const fs::path folder = path.parent_path();
  Comparisons result;
  for (const auto& [name, figures] : about.at("figures").items()) {  // "v1.0.t0.83"
    const std::string version = name.substr(0, 4);
    const std::string weights = version == "v1.0" ? "step1x-edit-i1258" : "step1x-edit-v1p1-official";
    const json config = {{"config", {{"version", version}}}};
    const TransformerParts model = load_transformer(
        flat_layout_of(folder / "../bundle" / (weights + ".safetensors"), config), at::kBFloat16, golden_device());
    const SafetensorsFile inputs(folder / ".." / ("dit-" + version + ".safetensors"));
    const at::Tensor img = golden_tensor(inputs, "full.packed");
    const at::Tensor t = at::full({img.size(0)}, std::stof(name.substr(6)), on_device(at::kFloat));
    const ConnectorOutput text =
        model.connector.forward({golden_tensor(inputs, "full.txt"), golden_tensor(inputs, "full.mask"), t, {}, {}});
    const at::Tensor ids = at::cat({golden_tensor(inputs, "full.txt_ids"), golden_tensor(inputs, "full.img_ids")}, 1);
    const Transformer& transformer = model.transformer;
    const at::Tensor out = transformer.forward(
        {img, text.tokens, {transformer.rope(ids), {}}, transformer.modulate(transformer.condition(t, text.pooled))});
    if (out.scalar_type() != at::kBFloat16) throw std::runtime_error("the result is not bf16");
    const double error = rms(out.cpu().to(at::kDouble) - golden_tensor(file, name + ".out64").cpu());
    const double limit = figures.at("limit_rms").get<double>();
    result.push_back({name + " rms", std::isnan(error) ? std::numeric_limits<double>::infinity() : error, limit});
  }
  return result;
}

Comparisons check_padding(const fs::path& path, const json& about) {
  const SafetensorsFile file(path);
  const double absolute = about.at("tolerance").at("abs").get<double>();
  const double relative = about.at("tolerance").at("rel").get<double>();
  const double connector = about.at("tolerance").at("connector_abs").get<double>();
  const TransformerParts model = load_transformer(
      flat_layout_of(path.parent_path() / about.at("weights").get<std::string>(), about), at::kFloat, golden_device());
  const auto seed = about.at("input_rule").at("seed").get<std::uint64_t>();
  Comparisons result;
  for (const json& each : about.at("cases")) {
    const std::string index = std::to_string(each.at("index").get<int>());
    at::Tensor states = hash_tensor(seed, each.at("txt"));
    const at::Tensor lengths = at::tensor(each.at("lengths").get<std::vector<std::int64_t>>(), on_device(at::kLong));
    const at::Tensor kept = at::arange(states.size(1), on_device(at::kLong)).unsqueeze(0) < lengths.unsqueeze(1);
    states = states * kept.unsqueeze(-1);
    const at::Tensor img = hash_tensor(seed, each.at("img"));
    const at::Tensor t = at::full({img.size(0)}, each.at("t").get<double>(), on_device(at::kFloat));
    const ConnectorOutput text = model.connector.forward({states, kept, t, {}, {}});
    const at::Tensor rows =
        at::tensor(each.at("connector_row_numbers").get<std::vector<std::int64_t>>(), on_device(at::kLong));
    result.push_back(compare_relative(index + ".connector_rows", text.tokens.index_select(1, rows),
                                      golden_tensor(file, index + ".connector_rows"), connector, relative));
    result.push_back(
        compare_relative(index + ".y", text.pooled, golden_tensor(file, index + ".y"), connector, relative));
    const at::Tensor text_ids = at::zeros({img.size(0), states.size(1), 3}, on_device(at::kFloat));
    const at::Tensor ids = at::cat({text_ids, golden_tensor(file, "img_ids")}, 1);
    const Transformer& transformer = model.transformer;
    const at::Tensor out = transformer.forward(
        {img, text.tokens, {transformer.rope(ids), {}}, transformer.modulate(transformer.condition(t, text.pooled))});
    result.push_back(compare_relative(index + ".out", out, golden_tensor(file, index + ".out"), absolute, relative));
  }
  return result;
}

}  // namespace step1x::test
