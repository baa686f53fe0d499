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
  for_each_value(job, [&](const char* name, auto& member) { read(request, name, member); });
  return job;
}

}  // namespace step1x::request
