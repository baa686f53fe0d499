#include "worker/placing.hpp"

#include <algorithm>

#include "gpu/gpus.hpp"

namespace step1x::worker {
namespace {

constexpr std::size_t kMaxSlots = 16;

bool is_free(const SlotView& slot) {
  return slot.use == SlotView::Use::free;
}

bool works(const SlotView& slot) {
  return slot.use == SlotView::Use::working;
}

}  // namespace

bool SlotView::serves(const std::string& name) const {
  return name == device || name == engine_device || (!gpu_uuid.empty() && name == gpu_uuid);
}

// A slot without work changes over to the job's device; another engine is started only while all have work, for a
// device that the job names and that is surely none of theirs.
std::optional<std::size_t> place_for(const std::string& device, const std::vector<SlotView>& slots) {
  const auto index = [&](auto it) { return static_cast<std::size_t>(it - slots.begin()); };
  const auto own = std::ranges::find_if(slots, [&](const SlotView& slot) { return slot.serves(device); });
  if (own != slots.end() && is_free(*own)) return index(own);
  // Where the device is the engine's choice, any other slot will do.
  if (own != slots.end() && !leaves_choice(device)) return std::nullopt;
  const auto free = std::ranges::find_if(slots, is_free);
  if (free != slots.end()) return index(free);
  // Waiting for what is moving takes less than the start of an engine.
  if (!std::ranges::all_of(slots, works)) return std::nullopt;
  const bool may_be_it = std::ranges::any_of(
      slots, [](const SlotView& slot) { return leaves_choice(slot.device) && slot.engine_device.empty(); });
  if (leaves_choice(device) || may_be_it || slots.size() >= kMaxSlots) return std::nullopt;
  return slots.size();
}

Queue::Fit fit(const Need& need, const FleetView& fleet, const std::vector<LeaseView>& leases) {
  if (!place_for(need.device, fleet.slots)) return Queue::Fit::no;
  // A lease keeps its model where it is: jobs for another one wait for its end, but for those of who holds it.
  const bool kept = std::ranges::any_of(leases, [&](const LeaseView& lease) {
    return lease.holder != need.client && !lease.model.empty() && lease.model != need.model;
  });
  if (kept) return Queue::Fit::no;
  // One arena: what computes now computes with the model that is loaded.
  const bool changes = std::ranges::any_of(fleet.slots, works) && need.model != fleet.loaded_model;
  return changes ? Queue::Fit::soon : Queue::Fit::now;
}

}  // namespace step1x::worker
