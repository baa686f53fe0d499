#include "image/picture_count.hpp"

#include <algorithm>
#include <climits>
#include <cstdint>

#include "image/heif_boxes.hpp"
#include "image/numbers.hpp"
#include "image/png_reader.hpp"
#include "image/tiff.hpp"

namespace step1x::image {
namespace {

// libvips counts all directories.
std::uint64_t pages_of_tiff(std::span<const std::byte> file) {
  constexpr std::uint16_t kNewSubfileType = 254;
  constexpr std::uint64_t kMaskBit = 4;
  const auto tiff = TiffReader::open(file);
  if (!tiff) return 1;
  const auto counts = [&](std::uint64_t directory) {
    return !tiff->is_reduced(directory) && (tiff->value(directory, kNewSubfileType).value_or(0) & kMaskBit) == 0;
  };
  return static_cast<std::uint64_t>(std::ranges::count_if(tiff->chain(tiff->first_directory()), counts));
}

// libvips reads no animation from a PNG.
std::uint64_t frames_of_png(std::span<const std::byte> file) {
  constexpr std::size_t kControlSize = 8;
  std::uint64_t announced = 0;
  std::uint64_t frames = 0;
  bool pixels = false;
  bool first_is_frame = false;
  PngReader reader(file);
  for (auto chunk = reader.next(); chunk; chunk = reader.next()) {
    if (chunk->type == "acTL" && !pixels && chunk->data.size() == kControlSize)
      announced = number_at(chunk->data, 0, 4);
    if (chunk->type == "fcTL") ++frames;
    if (chunk->type == "IDAT" && !pixels) {
      pixels = true;
      // Who cannot read the animation needs no more than this.
      if (announced == 0) return 1;
      first_is_frame = frames > 0;
    }
  }
  return std::min(announced, frames) + (first_is_frame ? 0 : 1);
}

}  // namespace

int count_pictures(Format format, std::span<const std::byte> file, int pages) {
  std::uint64_t count = static_cast<std::uint64_t>(std::max(pages, 1));
  switch (format) {
    case Format::png:
      count = frames_of_png(file);
      break;
    case Format::tiff:
      count = pages_of_tiff(file);
      break;
    case Format::avif:
    case Format::heic:
      count = std::max(count, heif_sequence_length(file));
      break;
    case Format::jpeg:
    case Format::webp:
    case Format::gif:
      break;
  }
  return static_cast<int>(std::clamp<std::uint64_t>(count, 1, INT_MAX));
}

}  // namespace step1x::image
