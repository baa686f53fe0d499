#include "device/copy_meter.hpp"

namespace step1x {

std::string_view name(CopyWay way) {
  switch (way) {
    case CopyWay::pinned:
      return "pinned";
    case CopyWay::staged:
      return "staged";
    case CopyWay::pageable:
      break;
  }
  return "pageable";
}

void CopyMeter::add(CopyWay way, std::uint64_t bytes, double seconds) {
  const std::lock_guard lock(mutex_);
  if (way != way_) {
    bytes_ = 0;
    seconds_ = 0;
  }
  way_ = way;
  bytes_ += bytes;
  seconds_ += seconds;
}

std::optional<CopyMeter::Reading> CopyMeter::reading() const {
  const std::lock_guard lock(mutex_);
  if (bytes_ == 0 || seconds_ <= 0) return std::nullopt;
  return Reading{way_, static_cast<double>(bytes_) / seconds_};
}

}  // namespace step1x
