// Which slot takes a job, and when: pure functions of plain data, so that every case can be tested. Neither slots nor
// queue: Fleet and Worker hand their state in. May be called from any thread; throws nothing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "worker/queue.hpp"

namespace step1x::worker {

// What a job asks for.
struct Need {
  std::string model;
  std::string device;            // as the request names it
  const void* client = nullptr;  // stands for who sent it; null: gone
};

// What a slot is, as far as placing looks at it.
struct SlotView {
  // `moving`: offloading or ending, which is free in a moment.
  enum class Use { free, working, moving };
  Use use = Use::free;
  std::string device = "auto";  // of its last job
  std::string engine_device;    // what its engine made of that; empty until it says so
  std::string gpu_uuid;         // of the GPU that its engine has taken; empty: none

  // It is this device's: by the name of its last job, or by what its engine made of that.
  bool serves(const std::string& name) const;
};

struct FleetView {
  std::vector<SlotView> slots;
  std::string loaded_model;  // of the last job that was given to an engine; empty when nothing is loaded
};

struct LeaseView {
  const void* holder = nullptr;
  std::string model;  // that it keeps; empty: what the next job loads
};

// The slot that can take a job for this device now; one after the last: a new one; nullopt: none.
std::optional<std::size_t> place_for(const std::string& device, const std::vector<SlotView>& slots);

// Whether the job may run.
Queue::Fit fit(const Need& need, const FleetView& fleet, const std::vector<LeaseView>& leases);

}  // namespace step1x::worker
