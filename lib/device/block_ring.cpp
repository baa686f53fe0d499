#include "device/block_ring.hpp"

#include <c10/core/InferenceMode.h>
#include <c10/util/ParallelGuard.h>

#include <algorithm>

#include "memory/alignment.hpp"

namespace step1x {

std::uint64_t BlockRing::slot_bytes(std::span<const std::span<const std::byte>> blocks) {
  const std::size_t most = std::ranges::max_element(blocks, {}, &std::span<const std::byte>::size)->size();
  return align_up(most, kTensorAlignment);
}

BlockRing::BlockRing(const DeviceMemory& memory, std::vector<std::span<const std::byte>> blocks, std::size_t slots,
                     std::shared_ptr<const void> owner, Point point)
    : blocks_(std::move(blocks)), owner_(std::move(owner)), point_(std::move(point)), device_(memory) {
  slots = std::min(slots, blocks_.size());
  const std::uint64_t bytes = slot_bytes(blocks_);
  const at::Tensor all = memory.allocate(bytes * slots);
  for (std::size_t i = 0; i < slots; ++i) {
    slots_.push_back({.memory = all.narrow(0, static_cast<std::int64_t>(i * bytes), static_cast<std::int64_t>(bytes)),
                      .used = DeviceCopy::Mark(memory.device()),
                      .ready = DeviceCopy::Mark(memory.device())});
    slots_.back().used.set();
    want(i, false);
  }
  copier_ = std::jthread([this](const std::stop_token& stop) { fill_slots(stop); });
}

BlockRing::~BlockRing() {
  copier_.request_stop();
  copier_.join();
}

at::Tensor BlockRing::memory(std::size_t block) const {
  const Slot& slot = slots_[block % slots_.size()];
  return slot.memory.narrow(0, 0, static_cast<std::int64_t>(blocks_[block].size()));
}

void BlockRing::want(std::size_t block, bool first) {
  const std::size_t slot = block % slots_.size();
  slots_[slot].wanted = block;
  first ? work_.push_front(slot) : work_.push_back(slot);
  changed_.notify_all();
}

void BlockRing::acquire(std::size_t block) {
  at_point("acquire");
  std::unique_lock lock(mutex_);
  Slot& slot = slot_of(block);
  // Not what comes next in order: the first pass after one that was broken off.
  if (slot.wanted != block) want(block, true);
  changed_.wait(lock, [&] { return problem_ || slot.holds == block; });
  if (problem_) std::rethrow_exception(problem_);
  slot.in_use = true;
  slot.ready.wait();
  lock.unlock();
  at_point("acquired");
}

void BlockRing::release(std::size_t block) noexcept try {
  at_point("release");
  const std::lock_guard lock(mutex_);
  Slot& slot = slot_of(block);
  slot.in_use = false;
  slot.used.set();
  // The block after this one, round and round, that has the same slot.
  std::size_t next = block + slots_.size();
  if (next >= blocks_.size()) next = block % slots_.size();
  want(next, false);
} catch (...) {
  const std::lock_guard lock(mutex_);
  problem_ = std::current_exception();
}

void BlockRing::fill_slots(const std::stop_token& stop) try {
  // This one thread only, where the others compute.
  const c10::ParallelGuard alone(true);
  // The slots may have been made by one who computes without gradients; then nobody else may write to them.
  const c10::InferenceMode no_gradients;
  device_.use();
  DeviceCopy copies(device_);
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [&] { return !work_.empty(); }) && !stop.stop_requested()) {
    Slot& slot = slots_[work_.front()];
    work_.pop_front();
    // Whoever releases it asks again.
    if (slot.in_use || slot.holds == slot.wanted) continue;
    const std::size_t block = slot.wanted;
    slot.holds = kNone;
    lock.unlock();
    at_point("copy");
    copies.wait(slot.used);
    copies.copy(blocks_[block], slot.memory.narrow(0, 0, static_cast<std::int64_t>(blocks_[block].size())));
    copies.mark(slot.ready);
    at_point("copied");
    lock.lock();
    slot.holds = block;
    if (slot.wanted != block) want(slot.wanted, true);
    changed_.notify_all();
  }
} catch (...) {
  const std::lock_guard lock(mutex_);
  problem_ = std::current_exception();
  changed_.notify_all();
}

}  // namespace step1x
