// Gradient descent that can be stopped at any time and goes on where it was: AdamW, a rate that rises, then falls along
// a cosine, and a running mean of the weights, which is what comes out. One thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "nn/aten.hpp"

namespace step1x::train {

struct LoopOptions {
  std::filesystem::path state;  // kept from run to run
  std::int64_t steps = 0;
  double rate = 1e-3;
  double weight_decay = 0.01;
  double mean_decay = 0.998;
  double gradient_limit = 1;
  std::int64_t save_every = 500;
};

// `leaves` are changed in place. `loss` computes the loss of a step, the same whenever it is asked for that step;
// `save` is given the running means when the state has been saved. Prints a line now and then.
void train(const std::vector<at::Tensor>& leaves, const LoopOptions& options,
           const std::function<at::Tensor(std::int64_t step)>& loss,
           const std::function<void(const std::vector<at::Tensor>& means)>& save);

}  // namespace step1x::train
