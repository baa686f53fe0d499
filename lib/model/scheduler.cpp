#include "model/scheduler.hpp"

#include <cmath>

#include "nn/config_reader.hpp"

namespace step1x {

namespace {

// Of mu, whose exponential is the factor: all times would be 1 or 0.
constexpr double kMostShift = 10;
constexpr double kMostFactor = 1e4;

double as_float(double value) {
  return static_cast<double>(static_cast<float>(value));
}

}  // namespace

SchedulerConfig scheduler_config(const ModelLayout& layout) {
  SchedulerConfig config;
  if (layout.scheduler_config.empty()) return config;
  ConfigReader file(layout.scheduler_config);
  file.require("_class_name", "FlowMatchEulerDiscreteScheduler");
  file.require("num_train_timesteps", 1000);
  file.require("time_shift_type", "exponential");
  file.require("shift_terminal", nullptr);
  for (const char* key :
       {"invert_sigmas", "stochastic_sampling", "use_beta_sigmas", "use_exponential_sigmas", "use_karras_sigmas"}) {
    file.require(key, false);
  }
  file.read("base_image_seq_len", config.base_tokens);
  file.read("max_image_seq_len", config.max_tokens);
  file.read("base_shift", config.base_shift, -kMostShift, kMostShift);
  file.read("max_shift", config.max_shift, -kMostShift, kMostShift);
  file.read("use_dynamic_shifting", config.dynamic);
  file.read("shift", config.shift, 1 / kMostFactor, kMostFactor);
  if (config.max_tokens <= config.base_tokens) file.fail("max_image_seq_len", "more than base_image_seq_len");
  return config;
}

// get_lin_function: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/sampling.py#L25-L28
double schedule_mu(const SchedulerConfig& config, std::int64_t tokens) {
  const double slope =
      (config.max_shift - config.base_shift) / static_cast<double>(config.max_tokens - config.base_tokens);
  return config.base_shift + slope * static_cast<double>(tokens - config.base_tokens);
}

// time_shift: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/sampling.py#L21-L22
double shift_time(double mu, double t) {
  const double factor = std::exp(mu);
  return t <= 0 ? 0 : factor / (factor + 1 / t - 1);
}

std::vector<double> plain_schedule(int steps) {
  std::vector<double> times;
  for (int i = 0; i <= steps; ++i) times.push_back(as_float(1 - static_cast<double>(i) / steps));
  return times;
}

// get_schedule: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/sampling.py#L31-L47
// FlowMatchEulerDiscreteScheduler.set_timesteps:
// https://github.com/Peyton-Chen/diffusers/blob/16900b755f21/src/diffusers/schedulers/scheduling_flow_match_euler_discrete.py#L249-L349
// Without the shift both give the same times; they differ in the rounding, within one unit of float32.
std::vector<double> schedule(const SchedulerConfig& config, int steps, std::int64_t tokens) {
  std::vector<double> times = plain_schedule(steps);
  const double mu = config.dynamic ? schedule_mu(config, tokens) : std::log(config.shift);
  for (double& t : times) t = as_float(shift_time(mu, t));
  return times;
}

}  // namespace step1x
