// Which engine gets the host arena, and which one waits for it.
#include <algorithm>
#include <utility>

#include "worker/fleet.hpp"

namespace step1x::worker {

void Fleet::want_arena(Slot& slot, const std::string& key, std::uint64_t bytes) {
  // Cancelled while its engine was on the way here: nothing is dropped for it, and it does not wait.
  if (!slot.job() || slot.job()->cancelled) return slot.give_arena({});
  if (arena_.is_another(key)) {
    const bool others_work =
        std::ranges::any_of(slots_, [&](const auto& other) { return other.get() != &slot && other->job(); });
    // The same model in another type: on the CPU and on a GPU.
    if (others_work) {
      arena_.refuse("another device computes with the weights in another type");
      return slot.give_arena({});
    }
    // They have the old one mapped, which would keep its memory.
    for (const auto& other : slots_) {
      if (other.get() != &slot) other->end();
    }
  }
  const std::optional<HostArena::Grant> grant = arena_.want(&slot, key, bytes, slot.job()->max_ram);
  if (!grant) return waiting_.push_back({&slot, key, bytes});
  // What was there before makes room for another model.
  if (!grant->filled && std::exchange(location_, Location::unloaded) != Location::unloaded)
    events_.moved(Move::release);
  slot.give_arena(*grant);
}

void Fleet::filler_ended(const Slot& slot) {
  std::erase_if(waiting_, [&](const Waiting& each) { return each.slot == &slot; });
  arena_.filler_ended(&slot);
  serve_waiting();
}

void Fleet::serve_waiting() {
  for (const Waiting& each : std::exchange(waiting_, {})) want_arena(*each.slot, each.key, each.bytes);
}

}  // namespace step1x::worker
