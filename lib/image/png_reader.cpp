#include "image/png_reader.hpp"

#include <zlib.h>

#include <algorithm>

#include "image/numbers.hpp"

namespace step1x::image {
namespace {

constexpr std::size_t kBeforeChunks = 8;
constexpr std::size_t kBeforeData = 8;  // length and type of a chunk
constexpr std::size_t kAfterData = 4;   // its checksum

}  // namespace

bool PngChunk::intact() const {
  return checksum == ::crc32_z(0, reinterpret_cast<const unsigned char*>(summed.data()), summed.size());
}

PngReader::PngReader(std::span<const std::byte> png) : rest_(png.subspan(std::min(kBeforeChunks, png.size()))) {}

std::optional<PngChunk> PngReader::next() {
  const std::uint64_t size = number_at(rest_, 0, 4);
  if (rest_.size() < kBeforeData + kAfterData || size > rest_.size() - kBeforeData - kAfterData) {
    rest_ = {};
    return std::nullopt;
  }
  const PngChunk chunk{{reinterpret_cast<const char*>(rest_.data()) + 4, 4},
                       rest_.subspan(kBeforeData, size),
                       rest_.subspan(4, 4 + size),
                       rest_.first(kBeforeData + size + kAfterData),
                       number_at(rest_, kBeforeData + size, kAfterData)};
  rest_ = rest_.subspan(chunk.whole.size());
  return chunk;
}

}  // namespace step1x::image
