// Numbers in bytes that came from anywhere, at places that the bytes themselves name. Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace step1x::image {

// The unsigned number in `size` bytes at `at`, or 0 where not all of them are there. At most 8 bytes.
inline std::uint64_t number_at(std::span<const std::byte> bytes, std::uint64_t at, std::size_t size,
                               bool little = false) {
  if (at > bytes.size() || bytes.size() - at < size) return 0;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    value = value << 8 | std::to_integer<std::uint64_t>(bytes[at + (little ? size - 1 - i : i)]);
  }
  return value;
}

}  // namespace step1x::image
