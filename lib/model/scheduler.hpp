// The times at which the picture is denoised, from 1 (noise) to 0: flow matching with a shift that grows with the
// number of tokens. Pure functions, any thread. Source: Esser et al., "Scaling Rectified Flow Transformers" (arXiv
// 2403.03206), section 5.3.2.
#pragma once

#include <cstdint>
#include <vector>

#include "weights/layout.hpp"

namespace step1x {

struct SchedulerConfig {
  // mu is base_shift at base_tokens and max_shift at max_tokens, and linear in between and beyond.
  std::int64_t base_tokens = 256;
  std::int64_t max_tokens = 4096;
  double base_shift = 0.5;
  double max_shift = 1.15;
  bool dynamic = true;  // else `shift` is the factor at any size
  double shift = 3.0;
};

// From scheduler_config.json; the released values where there is none. Error(model_missing) for what is not known here.
SchedulerConfig scheduler_config(const ModelLayout& layout);

double schedule_mu(const SchedulerConfig& config, std::int64_t tokens);

// e^mu / (e^mu + 1 / t - 1), for t in [0, 1].
double shift_time(double mu, double t);

// steps + 1 times, the first 1 and the last 0, each a float32 value. `tokens`: packed tokens of the picture wanted.
std::vector<double> schedule(const SchedulerConfig& config, int steps, std::int64_t tokens);
// The same without the shift.
std::vector<double> plain_schedule(int steps);

}  // namespace step1x
