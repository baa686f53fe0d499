#include <fmt/format.h>

#include <cmath>

#include "checks.hpp"
#include "model/guidance.hpp"
#include "model/loading.hpp"
#include "model/scheduler.hpp"
#include "support/temp_dir.hpp"

namespace step1x::test {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// A table of cos or sin with each value repeated for its pair, of text and image together.
at::Tensor repeated(const at::Tensor& half) {
  return half.squeeze(0).repeat_interleave(2, -1);
}

}  // namespace

Comparisons check_diffusers_schedules(const fs::path& folder) {
  const SafetensorsFile file(folder / "schedules.safetensors");
  const json manifest = json::parse(read_file(folder / "manifest.json"));
  const double sigma_tolerance = tolerance_of(manifest, "sigmas");
  const double time_tolerance = tolerance_of(manifest, "timesteps");
  Comparisons result;
  for (const json& each : json::parse(read_file(folder / "schedules.json"))) {
    const int steps = each.at("steps").get<int>();
    const std::string name = fmt::format("{}x{}-{}", each.at("width").get<int>(), each.at("height").get<int>(), steps);
    const auto tokens = each.at("seq_len").get<std::int64_t>();
    result.push_back({"mu." + name, std::abs(schedule_mu({}, tokens) - each.at("mu").get<double>()), 1e-12});
    const at::Tensor sigmas = at::tensor(schedule({}, steps, tokens), at::kDouble);
    result.push_back(compare("sigmas." + name, sigmas, golden_tensor(file, "sigmas." + name), sigma_tolerance));
    result.push_back(compare("native." + name, sigmas, golden_tensor(file, "native." + name), sigma_tolerance));
    result.push_back(compare("timesteps." + name, sigmas.narrow(0, 0, steps) * 1000,
                             golden_tensor(file, "timesteps." + name), time_tolerance));
  }
  result.push_back(compare("diff_norm", damping_divisor(golden_tensor(file, "diff_norm.in")),
                           golden_tensor(file, "diff_norm.out"), sigma_tolerance));
  return result;
}

Comparisons check_diffusers_transformer(const fs::path& folder) {
  const SafetensorsFile file(folder / "transformer-forward.safetensors");
  const json manifest = json::parse(read_file(folder / "manifest.json"));
  const double absolute = tolerance_of(manifest, "intermediates");
  const double relative = 1e-4;
  const double out_tolerance = tolerance_of(manifest, "transformer and predictions");
  const TransformerParts model = load_transformer(find_layout(folder / "model"), at::kFloat, golden_device());
  const auto in = [&](const std::string& name) { return golden_tensor(file, "in." + name); };
  Comparisons result;
  const auto add = [&](const std::string& name, const at::Tensor& found) {
    result.push_back(compare_relative(name, found, golden_tensor(file, name), absolute, relative));
  };
  const bool spelled = file.find("in.text_embeddings") != nullptr;
  const at::Tensor t = in("timestep");
  const ConnectorOutput text = model.connector.forward({in("encoder_hidden_states"), in("prompt_embeds_mask"), t,
                                                        spelled ? in("text_embeddings") : at::Tensor(),
                                                        spelled ? in("text_mask") : at::Tensor()});
  const ConnectorOutput plain =
      model.connector.forward({in("encoder_hidden_states"), in("prompt_embeds_mask"), t, {}, {}});
  add("mid.connector_tokens", plain.tokens);
  add("mid.connector_global", text.pooled);

  const Transformer& transformer = model.transformer;
  const RopeTable rope = transformer.rope(at::cat({in("txt_ids"), in("img_ids")}, 0).unsqueeze(0));
  add("mid.rope_cos", repeated(rope.cos));
  add("mid.rope_sin", repeated(rope.sin));
  const std::int64_t length = text.tokens.size(1);
  Transformer::Options options;
  options.after_block = [&](std::string_view block, const at::Tensor& x) {
    const std::string name = fmt::format("mid.{}", block);
    if (block == "norm") {
      add("mid.norm_out", x);
    } else if (block.starts_with("single")) {
      if (file.find(name + ".img") != nullptr) add(name + ".img", x.narrow(1, length, x.size(1) - length));
    } else if (file.find(name) != nullptr) {
      add(name, x);
    }
  };
  const TransformerInput input{
      in("hidden_states"), text.tokens, {rope, {}}, transformer.modulate(transformer.condition(t, text.pooled))};
  const at::Tensor out = transformer.forward(std::span(&input, 1), options).front();
  result.push_back(compare("out.sample", out, golden_tensor(file, "out.sample"), out_tolerance));
  return result;
}

}  // namespace step1x::test
