#include "model/denoise.hpp"

#include <algorithm>
#include <optional>

#include "model/packing.hpp"

namespace step1x {

namespace {

// How many rows of text go through the connector at once when many steps are computed together.
constexpr std::int64_t kConnectorRows = 4096;

// One prompt as the transformer takes it, with its padding, and what does not change from step to step.
struct Half {
  ConnectorInput text;  // but for the time; (1, length, ...)
  Sequence sequence;
};

// What changes from step to step, one row for each of some steps.
struct StepInputs {
  at::Tensor tokens;  // (steps, length, hidden)
  Modulations modulations;
};

at::Tensor pad_rows(const at::Tensor& x, std::int64_t count) {
  return x.defined() && count > 0 ? at::constant_pad_nd(x, {0, 0, 0, count}) : x;
}

Half prepare_half(const TransformerParts& model, const TextInput& text, const at::Tensor& image_positions,
                  bool collapse) {
  const std::int64_t kept = text.states.size(1);
  const std::int64_t rows = collapse ? std::min(text.padding, std::int64_t{1}) : text.padding;
  Half half;
  half.text.states = pad_rows(text.states, rows);  // (1, length, in)
  half.text.embeddings = pad_rows(text.embeddings, rows);
  if (text.quoted.defined()) half.text.quoted = at::constant_pad_nd(text.quoted, {0, rows});
  half.text.kept = at::arange(kept + rows, text.states.options().dtype(at::kLong)).lt(kept).unsqueeze(0);
  const at::Tensor ids = at::cat({pad_rows(text.ids, rows), image_positions}, 1);  // (1, length + image, 3)
  half.sequence.rope = model.transformer.rope(ids);
  if (rows < text.padding) half.sequence.repeated = {kept, static_cast<double>(text.padding)};
  return half;
}

// t: (steps), float32
StepInputs step_inputs(const TransformerParts& model, const Half& half, const at::Tensor& t) {
  const std::int64_t length = half.text.states.size(1);
  const std::int64_t group = std::max(std::int64_t{1}, kConnectorRows / length);
  std::vector<at::Tensor> tokens;
  std::vector<at::Tensor> conditions;
  for (const at::Tensor& times : t.split(group, 0)) {
    const std::int64_t count = times.size(0);
    const auto repeat = [&](const at::Tensor& x) {
      std::vector<std::int64_t> shape(x.defined() ? static_cast<std::size_t>(x.dim()) : 0, -1);
      if (!shape.empty()) shape.front() = count;
      return x.defined() ? x.expand(shape) : x;
    };
    const ConnectorOutput text = model.connector.forward({repeat(half.text.states), repeat(half.text.kept), times,
                                                          repeat(half.text.embeddings), repeat(half.text.quoted)});
    tokens.push_back(text.tokens);
    conditions.push_back(model.transformer.condition(times, text.pooled));
  }
  return {at::cat(tokens, 0), model.transformer.modulate(at::cat(conditions, 0))};
}

at::Tensor positions(const TransformerParts& model, const DenoiseInput& input) {
  const at::TensorOptions options = input.noise.options();
  at::Tensor ids = image_ids(input.rows, input.columns, {}, options);
  if (input.reference.defined()) {
    const std::array<double, 3>& offset = model.transformer.config().reference_offset;
    ids = at::cat({ids, image_ids(input.rows, input.columns, offset, options)}, 0);
  }
  return ids.unsqueeze(0);  // (1, n, 3)
}

}  // namespace

// ImageGenerator.denoise: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/inference.py#L218-L289
at::Tensor denoise(const TransformerParts& model, const DenoiseInput& input, const DenoiseOptions& options) {
  const std::int64_t targets = input.rows * input.columns;
  const at::Tensor image_positions = positions(model, input);
  const std::vector<float> starts(input.times.begin(), input.times.end() - 1);
  const at::Tensor t = at::tensor(starts, at::kFloat).to(input.noise.device());  // (steps)

  std::vector<Half> halves;
  std::vector<StepInputs> all_steps;
  for (const TextInput& text : input.texts) {
    halves.push_back(prepare_half(model, text, image_positions, options.collapse_padding));
    if (options.precompute) all_steps.push_back(step_inputs(model, halves.back(), t));
  }

  Transformer::Options forward;
  forward.targets = options.targets_only ? targets : 0;
  if (options.after_block) {
    forward.after_block = [&](std::string_view, const at::Tensor&) { options.after_block(); };
  }
  at::Tensor latents = input.noise.to(at::kFloat);
  for (std::size_t step = 0; step + 1 < input.times.size(); ++step) {
    const auto row = static_cast<std::int64_t>(step);
    const at::Tensor img = input.reference.defined() ? at::cat({latents, input.reference.to(at::kFloat)}, 1) : latents;
    std::vector<TransformerInput> inputs;
    for (std::size_t half = 0; half < halves.size(); ++half) {
      const StepInputs now = options.precompute ? StepInputs{all_steps[half].tokens.narrow(0, row, 1),
                                                             all_steps[half].modulations.rows(row, 1)}
                                                : step_inputs(model, halves[half], t.narrow(0, row, 1));
      inputs.push_back({img, now.tokens, halves[half].sequence, now.modulations});
    }
    std::vector<at::Tensor> velocities;  // (1, n, out_channels), cut to the target
    for (const at::Tensor& out : model.transformer.forward(inputs, forward)) {
      velocities.push_back(out.narrow(1, 0, targets));
    }
    const at::Tensor velocity = velocities.size() > 1 ? guide(velocities[0], velocities[1], input.guidance,
                                                              is_damped(input.damping, input.times[step]))
                                                      : velocities[0].to(at::kFloat);
    latents = euler_step(latents, velocity, input.times[step], input.times[step + 1]);
    if (options.after_step) options.after_step(static_cast<int>(step), velocity, latents);
  }
  return latents;
}

}  // namespace step1x
