// How copies from host memory to a GPU go, and how fast. Any thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>

namespace step1x {

// From the fastest to the slowest.
enum class CopyWay {
  pinned,    // straight over the bus, from memory that the driver has pinned
  staged,    // through a ring of pinned buffers, which threads fill
  pageable,  // through the driver's own buffers: it pins nothing for us
};
std::string_view name(CopyWay way);

class CopyMeter {
 public:
  struct Reading {
    CopyWay way;
    double bytes_per_second;
  };

  // A copy of so many bytes took so long on the device.
  void add(CopyWay way, std::uint64_t bytes, double seconds);
  // Of all copies since they go the way that the last one went; nothing before the first.
  std::optional<Reading> reading() const;

 private:
  mutable std::mutex mutex_;
  CopyWay way_ = CopyWay::pinned;
  std::uint64_t bytes_ = 0;
  double seconds_ = 0;
};

}  // namespace step1x
