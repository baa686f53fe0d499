// A request's parameters with their types, for the worker and the engine. Plain data.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "request/parameters.hpp"

namespace step1x::request {

struct Job {
  std::string prompt;
  std::string negative_prompt;
  int size = 0;  // side of the square whose area the picture is edited at
  int steps = 0;
  double guidance = 0;
  std::int64_t seed = 0;
  std::string guidance_damping;  // empty: as the model's reference has it
  bool vae_tiling = false;
  bool truncate = false;  // a prompt that is too long
  std::string model;
  std::string device;
  std::string plan;
  std::optional<std::int64_t> max_vram;  // bytes; negative: so much less than is free
  std::optional<std::int64_t> max_ram;   // bytes; negative: so much less than is available
  std::int64_t min_free_vram = 0;        // bytes that must be free before the model comes to the device
  std::optional<std::chrono::milliseconds> wait_gpu;

  bool operator==(const Job&) const = default;
};

// Calls visit(name, member) for each parameter: the name of its row, and what holds its value.
template <typename Visit>
void for_each_value(Job& job, Visit visit) {
  visit("prompt", job.prompt);
  visit("negative_prompt", job.negative_prompt);
  visit("size", job.size);
  visit("steps", job.steps);
  visit("guidance", job.guidance);
  visit("seed", job.seed);
  visit("guidance_damping", job.guidance_damping);
  visit("vae_tiling", job.vae_tiling);
  visit("truncate", job.truncate);
  visit("model", job.model);
  visit("device", job.device);
  visit("plan", job.plan);
  visit("max_vram", job.max_vram);
  visit("max_ram", job.max_ram);
  visit("min_free_vram", job.min_free_vram);
  visit("wait_gpu", job.wait_gpu);
}

// Throws Error(usage) as check() does.
Job read_job(const Json& request);

}  // namespace step1x::request
