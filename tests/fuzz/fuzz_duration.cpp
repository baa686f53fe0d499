// Any text is either a duration within the documented range or a usage error; and what is printed is never empty.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/duration.hpp"
#include "base/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace step1x;
  try {
    const Duration duration = parse_duration({reinterpret_cast<const char*>(data), size}, "--keep");
    const bool in_range = duration >= Duration::zero() && duration <= std::chrono::years(10) + std::chrono::days(1);
    if (!in_range && duration != kNever) std::abort();
    if (format_duration(duration).empty()) std::abort();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::usage) std::abort();
  }
  return 0;
}
