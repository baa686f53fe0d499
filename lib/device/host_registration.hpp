// Has the GPU's driver pin a range of host memory, so that copies from it go straight over the bus. Otherwise they go
// through buffers (device_copy.hpp). Tens of gigabytes take seconds to pin: it is done a piece at a time, on a thread
// of its own, beside copies and computation, and ends at the first piece that the driver refuses.
//
// The memory outlives the registration, and so does what is copied from it. Nothing throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <thread>
#include <vector>

namespace step1x {

class HostRegistration {
 public:
  // Pieces are cut at multiples of this in the address space: a copy must lie within one of them.
  static constexpr std::size_t kPiece = std::size_t{64} << 20;
  // From this address to where its piece ends.
  static std::size_t piece_left(const std::byte* address) {
    return kPiece - reinterpret_cast<std::uintptr_t>(address) % kPiece;
  }

  // From the registration's thread, and the last one from the destructor's.
  struct Driver {
    std::function<bool(std::span<const std::byte> piece)> pin;  // false: refused
    std::function<void(const std::byte* start)> unpin;
  };
  // CUDA's, for its device of this number. nullopt: this process has not loaded CUDA. REQUIRES: a context on it.
  static std::optional<Driver> cuda(int device);

  HostRegistration(std::span<const std::byte> memory, Driver driver);
  HostRegistration(const HostRegistration&) = delete;
  HostRegistration& operator=(const HostRegistration&) = delete;
  // Ends it after the present piece, and unpins what was pinned.
  ~HostRegistration();

 private:
  void pin_all(const std::stop_token& stop, std::span<const std::byte> memory);

  Driver driver_;
  std::vector<const std::byte*> pinned_;  // by the thread, and when that has ended by the destructor
  std::jthread thread_;
};

}  // namespace step1x
