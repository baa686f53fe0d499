// The chunks of a PNG file, one after another. Any bytes may come in: the chunks end with the first that is not all
// there. Layout: PNG specification (third edition), sections 5.2 and 5.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace step1x::image {

struct PngChunk {
  std::string_view type;  // four bytes
  std::span<const std::byte> data;
  std::span<const std::byte> summed;  // both
  std::span<const std::byte> whole;   // with length and checksum
  std::uint64_t checksum = 0;

  // Computed at each call.
  bool intact() const;
};

// One thread at a time, as long as the bytes are there.
class PngReader {
 public:
  // `png` begins with the signature, which is not looked at.
  explicit PngReader(std::span<const std::byte> png);
  std::optional<PngChunk> next();

 private:
  std::span<const std::byte> rest_;
};

}  // namespace step1x::image
