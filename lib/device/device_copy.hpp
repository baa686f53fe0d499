// Copies from host memory to a device, in the order they were asked for. On a GPU they run on a stream of their own,
// straight from memory that is pinned (host_registration.hpp), and from other memory through a ring of pinned buffers,
// for a copy from pageable memory neither reaches the bus's speed nor runs beside the computation. Several threads fill
// these: one alone has a fraction of the bus's speed. Which way copies go, and how fast, is in the memory's CopyMeter.
// Elsewhere a copy is done when copy() returns.
//
// One thread at a time. Throws what libtorch throws.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <memory>
#include <span>

#include "device/device_memory.hpp"

namespace step1x {

class DeviceCopy {
 public:
  // What the caller's current stream has been given until now is done before the first copy: memory that is copied to
  // may have been another tensor's a moment ago. REQUIRES: that memory is allocated already.
  explicit DeviceCopy(const DeviceMemory& memory);
  DeviceCopy(const DeviceCopy&) = delete;
  DeviceCopy& operator=(const DeviceCopy&) = delete;
  // Waits for all copies.
  ~DeviceCopy();

  // `to` is of type uint8 and as long as `from`. When this returns `from` is not read any more, unless it is pinned.
  void copy(std::span<const std::byte> from, const at::Tensor& to);

  // Orders streams with each other; nothing where the device has none.
  class Mark {
   public:
    explicit Mark(at::Device device);
    Mark(Mark&&) noexcept;
    Mark& operator=(Mark&&) noexcept;
    ~Mark();

    // Everything that the calling thread's current stream was given until now.
    void set();
    // The calling thread's current stream goes on when that is done. REQUIRES: set before.
    void wait();

   private:
    friend class DeviceCopy;
    struct Event;
    std::unique_ptr<Event> event_;
  };
  // The copies so far, instead of the current stream's work.
  void mark(Mark& mark);
  // Later copies come after what was marked.
  void wait(Mark& mark);

 private:
  struct Gpu;
  std::unique_ptr<Gpu> gpu_;
};

}  // namespace step1x
