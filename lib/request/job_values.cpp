#include "request/job_values.hpp"

namespace step1x::request {
namespace {

Json value_of(const Json& request, const char* name) {
  const auto found = request.find(name);
  return found != request.end() && !found->is_null() ? *found : fallback(parameter(name));
}

// The parameter that is called like the member. REQUIRES: check() has passed.
template <typename T>
void read(const Json& request, const char* name, T& member) {
  const Json value = value_of(request, name);
  if (!value.is_null()) member = value.get<T>();
}

template <typename T>
void read(const Json& request, const char* name, std::optional<T>& member) {
  const Json value = value_of(request, name);
  if (!value.is_null()) member = T(value.get<std::int64_t>());
}

}  // namespace

Job read_job(const Json& request) {
  check(request);
  Job job;
  read(request, "prompt", job.prompt);
  read(request, "negative_prompt", job.negative_prompt);
  read(request, "size", job.size);
  read(request, "steps", job.steps);
  read(request, "guidance", job.guidance);
  read(request, "seed", job.seed);
  read(request, "guidance_damping", job.guidance_damping);
  read(request, "vae_tiling", job.vae_tiling);
  read(request, "model", job.model);
  read(request, "device", job.device);
  read(request, "plan", job.plan);
  read(request, "max_vram", job.max_vram);
  read(request, "max_ram", job.max_ram);
  read(request, "min_free_vram", job.min_free_vram);
  read(request, "wait_gpu", job.wait_gpu);
  return job;
}

}  // namespace step1x::request
