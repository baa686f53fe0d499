// Where the model is as a whole, and what counts as a move of it.
#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "worker/fleet.hpp"

namespace step1x::worker {
namespace {

// None: an engine died and took it along.
std::optional<Move> move_between(Location from, Location to, bool on_purpose) {
  // To the GPU, or where that is the device, to the memory of the CPU.
  if (from == Location::unloaded) return Move::load;
  if (to == Location::gpu) return Move::to_gpu;
  if (!on_purpose) return std::nullopt;
  return to == Location::cpu ? Move::to_cpu : Move::release;
}

}  // namespace

Location Fleet::location() const {
  const auto any = [this](Location location) {
    return std::ranges::any_of(slots_, [&](const auto& slot) { return slot->location() == location; });
  };
  if (any(Location::gpu)) return Location::gpu;
  return arena_.holds_model() || any(Location::cpu) ? Location::cpu : Location::unloaded;
}

Slot::State Fleet::state() const {
  using State = Slot::State;
  constexpr State kOrder[] = {State::loading,    State::starting, State::replacing,
                              State::offloading, State::ending,   State::working};
  for (const State state : kOrder) {
    if (std::ranges::any_of(slots_, [&](const auto& slot) { return slot->state() == state; })) return state;
  }
  return State::idle;
}

// A second device comes to have what another one has already, or leaves it: the model as a whole does not move.
void Fleet::slot_moved(const Slot& slot, Location from, bool on_purpose) {
  const Location before = location_;
  relocate(on_purpose);
  if (before != Location::gpu || location_ != Location::gpu || slot.location() == from) return;
  if (slot.location() == Location::gpu) events_.moved(arena_.holds_model() ? Move::to_gpu : Move::load);
  if (from == Location::gpu && on_purpose) events_.moved(Move::to_cpu);
}

// Reports where the model has gone since the last time. `on_purpose`: not because an engine died.
void Fleet::relocate(bool on_purpose) {
  const Location to = location();
  // On its way to the device it passes through the arena, which is not a place where it has been.
  if (to != Location::gpu && state() == Slot::State::loading) return;
  const Location from = std::exchange(location_, to);
  if (from == to) return;
  log::info("model: {} -> {}", name(from), name(to));
  if (to == Location::unloaded && running() == 0) loaded_model_.clear();
  events_.moved(move_between(from, to, on_purpose));
}

}  // namespace step1x::worker
