#include "worker/timers.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "ipc/fields.hpp"

namespace step1x::worker {
namespace {

std::optional<Next> after(Transition transition, Duration timeout, Duration elapsed) {
  if (timeout < Duration::zero()) return std::nullopt;
  return Next{transition, std::max(Duration::zero(), timeout - elapsed)};
}

}  // namespace

void Timers::read(const ipc::Json& object) {
  if (!object.is_object()) throw Error(ErrorCode::usage, "timers: not an object");
  const ipc::Fields fields(object);
  const auto take = [&](const char* key, Duration& value) {
    value = Duration(fields.integer_or(key, -1, kLongestDuration.count(), value.count()));
  };
  take("offload_delay", offload_delay);
  take("idle_timeout", idle_timeout);
  take("host_timeout", host_timeout);
  take("exit_timeout", exit_timeout);
  auto_monitor = fields.boolean("auto_monitor", auto_monitor);
}

std::string_view name(Location location) {
  switch (location) {
    case Location::unloaded:
      return "Unloaded";
    case Location::cpu:
      return "CPU";
    case Location::gpu:
      break;
  }
  return "GPU";
}

std::string_view name(Transition transition) {
  switch (transition) {
    case Transition::offload:
      return "offload";
    case Transition::engine_exit:
      return "engine_exit";
    case Transition::release:
      return "release";
    case Transition::worker_exit:
      break;
  }
  return "worker_exit";
}

std::optional<Next> next_transition(const Timers& timers, const Situation& now) {
  if (now.busy) return std::nullopt;
  // One after the other: the engine is of use while the model is on the GPU, and the worker while there is an engine or
  // an arena.
  if (now.location == Location::gpu && !now.only_on_device)
    return after(Transition::offload, timers.offload_delay, now.idle);
  if (!timers.auto_monitor) return std::nullopt;
  const auto exit = now.engine ? after(Transition::engine_exit, timers.idle_timeout, now.idle) : std::nullopt;
  const auto release = now.arena ? after(Transition::release, timers.host_timeout, now.idle) : std::nullopt;
  if (exit && release) return exit->in <= release->in ? exit : release;
  if (now.engine || now.arena) return exit ? exit : release;
  if (now.connected) return std::nullopt;
  return after(Transition::worker_exit, timers.exit_timeout, now.quiet);
}

}  // namespace step1x::worker
