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
  std::string model;
  std::string device;
  std::string plan;
  std::optional<std::int64_t> max_vram;  // bytes; negative: so much less than is free
  std::optional<std::int64_t> max_ram;   // bytes; negative: so much less than is available
  std::int64_t min_free_vram = 0;        // bytes that must be free before the model comes to the device
  std::optional<std::chrono::milliseconds> wait_gpu;

  bool operator==(const Job&) const = default;
};

// Throws Error(usage) as check() does.
Job read_job(const Json& request);

}  // namespace step1x::request
