// From noise to latents: the loop over the steps, with guidance. Pure: its result depends on its arguments only. Any
// thread. Throws what a hook throws.
//
// Three accelerations change nothing but rounding. Each can be switched off, which leaves the plain form that the
// reference has and that training needs.
#pragma once

#include <functional>
#include <vector>

#include "model/guidance.hpp"
#include "model/loading.hpp"
#include "model/text_input.hpp"

namespace step1x {

struct DenoiseOptions {
  // The rows of padding are alike, in every block: one of them is computed, and counts as often as a key
  // (RepeatedKey).
  bool collapse_padding = true;
  // Connector and modulation of all steps are computed before the first: they depend on time and prompt only.
  bool precompute = true;
  // The last single block and the final layer are computed for the target's tokens only.
  bool targets_only = true;

  // After each block of the transformer, for cancelling.
  std::function<void()> after_block;
  // After each step: its number from 0, the velocity that was followed, and the latents that it led to.
  std::function<void(int step, const at::Tensor& velocity, const at::Tensor& latents)> after_step;
};

struct DenoiseInput {
  // The prompt, and if there is guidance the negative prompt.
  std::vector<TextInput> texts;
  at::Tensor noise;      // (1, rows * columns, in_channels)
  at::Tensor reference;  // the same for the picture that is edited, or undefined
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<double> times;  // from 1 to 0
  double guidance = 6;
  GuidanceDamping damping = GuidanceDamping::early;
};

// (1, rows * columns, in_channels), float32
at::Tensor denoise(const TransformerParts& model, const DenoiseInput& input, const DenoiseOptions& options);

}  // namespace step1x
