// A device as a place for weights: memory of its own that can run out, or the host's. One object per device of an
// engine; main thread only.
//
//   cpu       no memory of its own: the engine computes on the arena itself
//   cuda:N    libtorch's allocator
//   sim:SIZE  for tests: computes on the CPU, but on weights in SIZE bytes apart from the arena, so that loading,
//             offloading and running out of memory go through the same code as on a GPU. What a job computes besides
//             is not counted. Of another program's, ",taken=SIZE" is what nobody knows of before memory runs out, and
//             ",busy=SIZE:FILE" is seen not to be free as long as FILE exists.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "device/copy_meter.hpp"

namespace step1x {

class DeviceMemory {
 public:
  explicit DeviceMemory(at::Device device) : device_(device), copies_(std::make_shared<CopyMeter>()) {}
  struct Simulation {
    std::uint64_t bytes = 0;
    std::uint64_t taken = 0;
    std::uint64_t busy = 0;
    std::filesystem::path busy_file;
  };
  static DeviceMemory simulate(Simulation simulation);
  static DeviceMemory simulate(std::uint64_t bytes) { return simulate(Simulation{.bytes = bytes, .busy_file = {}}); }

  // Where tensors are.
  at::Device device() const { return device_; }
  bool simulated() const { return simulated_ != nullptr; }
  // Weights are copied to it.
  bool separate() const { return simulated_ != nullptr || !device_.is_cpu(); }
  // Uninitialized, of type uint8. Throws Error(out_of_memory) with what was needed and what there was.
  at::Tensor allocate(std::uint64_t bytes) const;

  // What allocate() can be asked for, what libtorch keeps for later included.
  std::uint64_t free_bytes() const;
  // What a job computes besides its weights comes out of the same memory.
  bool counts_activations() const { return !device_.is_cpu(); }

  struct Counters {
    std::int64_t allocated_bytes = 0;
    std::int64_t reserved_bytes = 0;
  };
  // libtorch's own for a GPU; nothing for the CPU.
  Counters counters() const;
  // Makes it the calling thread's device. Whatever looks at another device's stream or event comes back to the thread's
  // own, and so takes memory there for a context: each thread that works for this memory calls this first.
  void use() const;
  // Until everything that the current stream was given is done; nothing where operators compute at once.
  void wait() const;
  // How much of a GPU libtorch may have from here on: to ask it for more is the same as if there were no more. None:
  // all that there is. Nothing for a device that is none.
  void limit(std::optional<std::uint64_t> most) const;
  // Gives memory that libtorch keeps for later back to the device.
  void trim() const;
  // What goes to it from host memory. Never null.
  const std::shared_ptr<CopyMeter>& copies() const { return copies_; }

 private:
  struct Simulated {
    Simulation has;
    std::uint64_t used = 0;
    // Free as far as anybody can see.
    std::uint64_t free() const;
  };
  at::Device device_;
  std::shared_ptr<CopyMeter> copies_;
  std::shared_ptr<Simulated> simulated_;
};

}  // namespace step1x
