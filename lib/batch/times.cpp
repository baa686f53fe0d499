#include "batch/times.hpp"

#include <fmt/format.h>

#include <chrono>
#include <ctime>

namespace step1x::batch {

std::string time_text(std::int64_t nanoseconds_since_1970) {
  constexpr std::int64_t kNanoseconds = 1'000'000'000;
  constexpr std::int64_t kMilliseconds = 1'000'000;
  const auto seconds = static_cast<std::time_t>(nanoseconds_since_1970 / kNanoseconds);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     nanoseconds_since_1970 % kNanoseconds / kMilliseconds);
}

std::string time_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return time_text(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

bool is_earlier(std::string_view time, std::string_view other) {
  // Without the Z, which is greater than the point of a part of a second.
  const auto without_zone = [](std::string_view text) { return text.substr(0, text.find('Z')); };
  return without_zone(time) < without_zone(other);
}

}  // namespace step1x::batch
