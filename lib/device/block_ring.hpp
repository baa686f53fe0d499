// Weights that are streamed: blocks of a model in host memory that take turns in a few slots of a device's memory. They
// are used one after the other, in their order, over and over; while one is computed with, a thread copies those that
// come next into the slots that are free (plan `stream`: lib/README.md, Memory).
//
// A block has its slot for life, so that tensors can be views of it; what is in it is the block's only between
// acquire() and release(). The user calls from one thread, which is also the one that makes and ends the ring.
#pragma once

#include <ATen/core/Tensor.h>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "device/device_copy.hpp"
#include "device/device_memory.hpp"

namespace step1x {

class BlockRing {
 public:
  // Called with "copy", "copied", "acquire", "acquired", "release" at these moments, from whichever thread is there;
  // for tests, which put delays in.
  using Point = std::function<void(const char*)>;

  // Begins to fill the slots. `owner` keeps the blocks' memory. Throws Error(out_of_memory).
  // REQUIRES: blocks; at least one slot.
  BlockRing(const DeviceMemory& memory, std::vector<std::span<const std::byte>> blocks, std::size_t slots,
            std::shared_ptr<const void> owner, Point point = {});
  BlockRing(const BlockRing&) = delete;
  BlockRing& operator=(const BlockRing&) = delete;
  ~BlockRing();

  // Where the block is when it is there: its bytes, of type uint8.
  at::Tensor memory(std::size_t block) const;

  // Waits until the block is in its slot, and keeps it there. Any order works; that of the blocks does not wait for the
  // whole copy. Throws what a copy threw.
  void acquire(std::size_t block);
  // The slot's next block may come. REQUIRES: acquired, once.
  void release(std::size_t block) noexcept;

  static std::uint64_t slot_bytes(std::span<const std::span<const std::byte>> blocks);

 private:
  static constexpr std::size_t kNone = SIZE_MAX;
  struct Slot {
    at::Tensor memory;
    std::size_t wanted = kNone;
    std::size_t holds = kNone;  // kNone while it is being filled
    bool in_use = false;
    DeviceCopy::Mark used;   // by the computation, the last time
    DeviceCopy::Mark ready;  // filled with what it holds
  };

  Slot& slot_of(std::size_t block) { return slots_[block % slots_.size()]; }
  void want(std::size_t block, bool first);
  void fill_slots(const std::stop_token& stop);
  void at_point(const char* name) const {
    if (point_) point_(name);
  }

  std::vector<std::span<const std::byte>> blocks_;
  std::shared_ptr<const void> owner_;
  Point point_;
  DeviceMemory device_;

  std::mutex mutex_;  // guards what follows, but for the slots' memory
  std::condition_variable_any changed_;
  std::vector<Slot> slots_;
  std::deque<std::size_t> work_;  // slots to look at
  std::exception_ptr problem_;
  std::jthread copier_;
};

// Which block of which ring a tensor is in; none for one that stays.
struct StreamedBlock {
  std::shared_ptr<BlockRing> ring;
  std::size_t index = 0;
};

// While it lives, the block is in place.
class BlockInUse {
 public:
  explicit BlockInUse(const StreamedBlock& block) : block_(block) {
    if (block_.ring) block_.ring->acquire(block_.index);
  }
  BlockInUse(const BlockInUse&) = delete;
  BlockInUse& operator=(const BlockInUse&) = delete;
  ~BlockInUse() {
    if (block_.ring) block_.ring->release(block_.index);
  }

 private:
  const StreamedBlock& block_;
};

}  // namespace step1x
