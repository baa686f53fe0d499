// How long one step of the transformer takes for prompt and negative prompt, and what is computed before the first.
// transformer_step.py makes the model and the inputs, runs diffusers' FLUX beside it, and calls this program.
// Usage: bench_transformer_step FOLDER INPUTS f32|bf16 THREADS wall|cpu  (then names on stdin, see bench.hpp)
//        bench_transformer_step --short                                  (random weights, small; fast against plain)
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "bench.hpp"
#include "model/loading.hpp"
#include "model/packing.hpp"

namespace {

using namespace step1x;

constexpr int kSteps = 28;

struct Text {
  at::Tensor tokens;  // (1, length, hidden), of which all after `kept` are alike
  at::Tensor pooled;
  std::int64_t kept = 0;
};

struct Inputs {
  std::vector<Text> texts;
  at::Tensor img;  // (1, 2 * targets, channels): target, then reference
  at::Tensor t;    // (1)
  std::int64_t side = 0;

  std::int64_t targets() const { return side * side; }
};

class Step {
 public:
  Step(const TransformerParts& model, const Inputs& inputs) : model_(model), inputs_(inputs) {
    const at::TensorOptions options = at::kFloat;
    image_ids_ = at::cat({image_ids(inputs.side, inputs.side, {}, options),
                          image_ids(inputs.side, inputs.side, model.transformer.config().reference_offset, options)});
    for (const Text& text : inputs.texts) {
      plain_.push_back(input(text.tokens, {}));
      const std::int64_t padding = text.tokens.size(1) - text.kept;
      const at::Tensor short_tokens = text.tokens.narrow(1, 0, text.kept + std::min(padding, std::int64_t{1}));
      RepeatedKey repeated;
      if (padding > 1) repeated = {text.kept, static_cast<double>(padding)};
      fast_.push_back(input(short_tokens, repeated));
      fast_.back().modulations = model.transformer.modulate(condition(text));
    }
  }

  // As the reference does it: all rows of padding, the modulation of each block in the step, every row to the end.
  std::vector<at::Tensor> plain() const {
    std::vector<TransformerInput> now = plain_;
    for (std::size_t i = 0; i < now.size(); ++i) {
      now[i].modulations = model_.transformer.modulate(condition(inputs_.texts[i]));
    }
    return targets(model_.transformer.forward(now, {}));
  }

  std::vector<at::Tensor> fast() const {
    Transformer::Options options;
    options.targets = inputs_.targets();
    return model_.transformer.forward(fast_, options);
  }

  void modulations(std::int64_t steps) const {
    for (const Text& text : inputs_.texts) model_.transformer.modulate(condition(text).repeat({steps, 1}));
  }

  // The connector on states of the texts' lengths.
  void connector(const std::vector<TransformerInput>& inputs, std::int64_t steps) const {
    const std::int64_t in = model_.transformer.config().connector.in_channels;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const std::int64_t length = inputs[i].txt.size(1);
      const at::Tensor kept = at::arange(length).lt(inputs_.texts[i].kept).unsqueeze(0).expand({steps, length});
      const at::Tensor states = at::randn({1, length, in}).expand({steps, length, in});
      model_.connector.forward({states, kept, inputs_.t.expand({steps}), {}, {}});
    }
  }
  void plain_connector() const { connector(plain_, 1); }
  void fast_connector() const { connector(fast_, kSteps); }

 private:
  TransformerInput input(const at::Tensor& tokens, const RepeatedKey& repeated) const {
    const at::Tensor ids = at::cat({at::zeros({tokens.size(1), 3}), image_ids_}).unsqueeze(0);
    return {inputs_.img, tokens, {model_.transformer.rope(ids), repeated}, {}};
  }

  at::Tensor condition(const Text& text) const { return model_.transformer.condition(inputs_.t, text.pooled); }

  std::vector<at::Tensor> targets(std::vector<at::Tensor> all) const {
    for (at::Tensor& each : all) each = each.narrow(1, 0, inputs_.targets());
    return all;
  }

  const TransformerParts& model_;
  const Inputs& inputs_;
  at::Tensor image_ids_;
  std::vector<TransformerInput> plain_, fast_;
};

double rms_of_both(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::max(bench::rms(a[0], b[0]), bench::rms(a[1], b[1]));
}

std::vector<bench::Measure> measures(const Step& step) {
  return {{"fast", [&] { step.fast(); }},
          {"plain", [&] { step.plain(); }},
          {"fast_modulations", [&] { step.modulations(kSteps); }, kSteps},
          {"plain_modulations", [&] { step.modulations(1); }},
          {"fast_connector", [&] { step.fast_connector(); }, kSteps},
          {"plain_connector", [&] { step.plain_connector(); }}};
}

int run_files(std::span<char*> arguments) {
  const bench::TensorMemory memory;
  const bench::Setting setting = bench::read_setting(arguments.subspan(3));
  ModelLayout layout;
  layout.kind = LayoutKind::diffusers;
  layout.version = ModelVersion::v1_1;
  layout.transformer = find_weights(arguments[1], "diffusion_pytorch_model");
  layout.transformer_config = std::filesystem::path(arguments[1]) / "config.json";
  const TransformerParts model = load_transformer(layout, setting.type);

  const SafetensorsFile file(arguments[2]);
  const auto number = [&](const char* name) { return bench::stored(file, name, at::kLong).item<std::int64_t>(); };
  Inputs inputs{{}, bench::stored(file, "img", at::kFloat), bench::stored(file, "t", at::kFloat), number("side")};
  std::vector<at::Tensor> expected;
  for (const char* half : {"prompt", "negative"}) {
    const auto part = [&](const char* end) { return bench::stored(file, fmt::format("{}_{}", half, end), at::kFloat); };
    inputs.texts.push_back({part("tokens"), part("pooled"), number(fmt::format("{}_kept", half).c_str())});
    expected.push_back(part("expected"));
  }
  const Step step(model, inputs);
  const std::vector<bench::Figure> figures{{"fast_rms", [&] { return rms_of_both(step.fast(), expected); }},
                                           {"plain_rms", [&] { return rms_of_both(step.plain(), expected); }}};
  bench::serve(setting, memory, measures(step), figures);
  return 0;
}

int run_small() {
  const bench::TensorMemory memory;
  TransformerConfig config;
  config.hidden_size = 128;
  config.mlp_size = 512;
  config.heads = 2;
  config.depth = 2;
  config.single_depth = 3;
  config.axes_dim = {16, 24, 24};
  config.pooled_channels = 32;
  config.connector = {48, 64, 4, 2};
  const Weights weights = bench::random_weights(transformer_table(config, LayoutKind::flat), at::kFloat);
  const TransformerParts model{Connector(config, weights), Transformer(config, weights)};

  Inputs inputs{{}, at::randn({1, 128, config.in_channels}), at::full({1}, 0.5), 8};
  for (const std::int64_t kept : {30, 5}) {
    const at::Tensor rows = at::randn({1, kept, 64});
    const at::Tensor padding = at::randn({1, 1, 64}).expand({1, 640 - kept, 64});
    inputs.texts.push_back({at::cat({rows, padding}, 1), at::randn({1, config.pooled_channels}), kept});
  }
  const Step step(model, inputs);
  const std::vector<bench::Figure> figures{
      {"rms of fast and plain", [&] { return rms_of_both(step.fast(), step.plain()); }}};
  return bench::run_short({}, memory, measures(step), figures, 1e-5);
}

}  // namespace

int main(int argc, char** argv) try {
  const c10::InferenceMode inference;
  if (argc == 2 && std::string(argv[1]) == "--short") return run_small();
  if (argc == 6) return run_files({argv, 6});
  fmt::print(stderr, "usage: bench_transformer_step FOLDER INPUTS f32|bf16 THREADS wall|cpu, or --short\n");
  return 2;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
