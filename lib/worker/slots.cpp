// What is asked of all devices together.
#include <algorithm>

#include "worker/worker.hpp"

namespace step1x::worker {

std::size_t Worker::running() const {
  return static_cast<std::size_t>(
      std::count_if(slots_.begin(), slots_.end(), [](const auto& slot) { return slot->job() != nullptr; }));
}

// No device has a job, or is being left.
bool Worker::settled() const {
  return std::all_of(slots_.begin(), slots_.end(), [](const auto& slot) { return slot->free(); });
}

bool Worker::has_engine() const {
  return std::any_of(slots_.begin(), slots_.end(), [](const auto& slot) { return slot->engine_pid() != 0; });
}

Slot* Worker::slot_of(const Job& job) const {
  const auto found =
      std::find_if(slots_.begin(), slots_.end(), [&](const auto& slot) { return slot->job().get() == &job; });
  return found == slots_.end() ? nullptr : found->get();
}

Location Worker::location() const {
  const auto any = [this](Location location) {
    return std::any_of(slots_.begin(), slots_.end(), [&](const auto& slot) { return slot->location() == location; });
  };
  if (any(Location::gpu)) return Location::gpu;
  return arena_.holds_model() || any(Location::cpu) ? Location::cpu : Location::unloaded;
}

// Of the slot that is busiest with moving the model.
Slot::State Worker::state() const {
  constexpr Slot::State kOrder[] = {Slot::State::loading, Slot::State::starting, Slot::State::offloading,
                                    Slot::State::ending, Slot::State::working};
  for (const Slot::State state : kOrder) {
    if (std::any_of(slots_.begin(), slots_.end(), [&](const auto& slot) { return slot->state() == state; }))
      return state;
  }
  return Slot::State::idle;
}

// The context of an engine takes memory also when the model has gone from there.
void Worker::watch_gpus() {
  std::vector<GpuMonitor::Subject> subjects;
  for (const auto& slot : slots_) {
    if (slot->engine_pid() != 0 && !slot->gpu_uuid().empty())
      subjects.push_back({slot->gpu_uuid(), slot->engine_pid()});
  }
  gpu_monitor_.watch(std::move(subjects));
}

void Worker::offload_all() {
  for (const auto& slot : slots_) {
    if (slot->location() == Location::gpu) slot->offload();
  }
}

void Worker::end_all() {
  for (const auto& slot : slots_) slot->end();
}

}  // namespace step1x::worker
