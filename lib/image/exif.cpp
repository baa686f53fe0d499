#include "image/exif.hpp"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "image/numbers.hpp"
#include "image/tiff.hpp"

namespace step1x::image {
namespace {

constexpr std::uint16_t kOrientation = 0x0112;
constexpr std::uint16_t kThumbnailOffset = 0x0201;
constexpr std::uint16_t kThumbnailBytes = 0x0202;
constexpr std::uint16_t kExifDirectory = 0x8769;
constexpr std::uint16_t kColorSpace = 0xA001;
constexpr std::uint16_t kInteroperability = 0xA005;
constexpr std::uint16_t kInteroperabilityIndex = 0x0001;
constexpr std::string_view kAdobeRgbIndex = "R03";
constexpr std::size_t kEntryBytes = 12;

// Numbers at places that the bytes themselves name: what lies outside is 0, and writing there does nothing.
class Tiff {
 public:
  Tiff(std::span<std::byte> bytes, bool little) : bytes_(bytes), little_(little) {}

  std::uint64_t number(std::size_t at, std::size_t size) const { return number_at(bytes_, at, size, little_); }
  void set(std::size_t at, std::size_t size, std::uint64_t value) {
    if (at > bytes_.size() || bytes_.size() - at < size) return;
    for (std::size_t i = 0; i < size; ++i)
      bytes_[at + (little_ ? i : size - 1 - i)] = static_cast<std::byte>(value >> (8 * i));
  }
  void clear(std::size_t at, std::size_t size) {
    if (at > bytes_.size()) return;
    std::ranges::fill(bytes_.subspan(at, std::min(size, bytes_.size() - at)), std::byte{0});
  }

  bool holds(std::size_t at, std::string_view text) const {
    return at <= bytes_.size() && bytes_.size() - at >= text.size() &&
           std::ranges::equal(bytes_.subspan(at, text.size()), std::as_bytes(std::span(text)));
  }
  void put(std::size_t at, std::string_view text) {
    if (at > bytes_.size() || bytes_.size() - at < text.size()) return;
    std::ranges::copy(std::as_bytes(std::span(text)), bytes_.begin() + std::ptrdiff_t(at));
  }

  // Where the entry of a tag begins; 0: the directory has none.
  std::size_t entry(std::size_t directory, std::uint16_t tag) const {
    const std::size_t count = number(directory, 2);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t at = directory + 2 + i * kEntryBytes;
      if (at >= bytes_.size()) break;
      if (number(at, 2) == tag) return at;
    }
    return 0;
  }
  // Of a SHORT or LONG, which stands in its entry.
  std::uint64_t value(std::size_t entry) const {
    constexpr std::uint64_t kShort = 3;
    return number(entry + 8, number(entry + 2, 2) == kShort ? 2 : 4);
  }

 private:
  std::span<std::byte> bytes_;
  bool little_;
};

bool begins(std::span<const std::byte> bytes, std::string_view text) {
  return bytes.size() >= text.size() &&
         std::ranges::equal(bytes.first(text.size()), std::as_bytes(std::span(text.data(), text.size())));
}

// What some formats put before the block.
std::size_t name_size(std::span<const std::byte> block) {
  using namespace std::string_view_literals;
  constexpr std::string_view kName = "Exif\0\0"sv;
  return begins(block, kName) ? kName.size() : 0;
}

void say_srgb(Tiff& tiff, std::size_t first) {
  const std::size_t link = tiff.entry(first, kExifDirectory);
  if (link == 0) return;
  const std::size_t exif = tiff.value(link);
  if (const std::size_t space = tiff.entry(exif, kColorSpace); space != 0) tiff.set(space + 8, 2, 1);
  const std::size_t deeper = tiff.entry(exif, kInteroperability);
  if (deeper == 0) return;
  // Three letters and a NUL, which stand in the entry in their order.
  const std::size_t index = tiff.entry(tiff.value(deeper), kInteroperabilityIndex);
  if (index != 0 && tiff.holds(index + 8, kAdobeRgbIndex)) tiff.put(index + 8, "R98");
}

}  // namespace

bool exif_says_adobe_rgb(std::span<const std::byte> block) {
  constexpr std::uint64_t kAdobe = 2, kUncalibrated = 0xFFFF;
  const auto tiff = TiffReader::open(block.subspan(name_size(block)));
  if (!tiff) return false;
  const std::uint64_t exif = tiff->value(tiff->first_directory(), kExifDirectory).value_or(0);
  const auto space = tiff->value(exif, kColorSpace);
  if (space != kUncalibrated) return space == kAdobe;
  return tiff->text(tiff->value(exif, kInteroperability).value_or(0), kInteroperabilityIndex) == kAdobeRgbIndex;
}

void fit_exif(std::span<std::byte> block) {
  using namespace std::string_view_literals;
  block = block.subspan(name_size(block));
  const bool little = begins(block, "II*\0"sv);
  if (!little && !begins(block, "MM\0*"sv)) return;
  Tiff tiff(block, little);
  const std::size_t first = tiff.number(4, 4);
  if (const std::size_t orientation = tiff.entry(first, kOrientation); orientation != 0)
    tiff.set(orientation + 8, 2, 1);
  say_srgb(tiff, first);
  const std::size_t link = first + 2 + tiff.number(first, 2) * kEntryBytes;
  const std::size_t second = tiff.number(link, 4);
  if (second == 0) return;
  const std::size_t offset = tiff.entry(second, kThumbnailOffset);
  const std::size_t bytes = tiff.entry(second, kThumbnailBytes);
  if (offset != 0 && bytes != 0) tiff.clear(tiff.value(offset), tiff.value(bytes));
  tiff.set(link, 4, 0);
}

}  // namespace step1x::image
