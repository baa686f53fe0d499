#include "image/tiff.hpp"

#include <algorithm>

#include "image/numbers.hpp"

namespace step1x::image {
namespace {

// libtiff reads no directory with more, even where BigTIFF has room for the number.
constexpr std::uint64_t kMostEntries = 65'535;
constexpr std::size_t kMostText = 64;

// Bytes of one value of a type that holds whole numbers or text; 0: of another type.
std::size_t size_of(unsigned type) {
  switch (type) {
    case 1:  // BYTE
    case 2:  // ASCII
    case 7:  // UNDEFINED
      return 1;
    case 3:  // SHORT
      return 2;
    case 4:   // LONG
    case 13:  // IFD
      return 4;
    case 16:  // LONG8
    case 18:  // IFD8
      return 8;
    default:
      return 0;
  }
}

}  // namespace

std::optional<TiffReader> TiffReader::open(std::span<const std::byte> bytes) {
  const std::uint64_t order = number_at(bytes, 0, 2);
  const bool little = order == 0x4949;
  if (!little && order != 0x4D4D) return std::nullopt;
  const std::uint64_t version = number_at(bytes, 2, 2, little);
  if (version != 42 && version != 43) return std::nullopt;
  return TiffReader(bytes, little, version == 43);
}

std::uint64_t TiffReader::number(std::uint64_t at, std::size_t size) const {
  return number_at(bytes_, at, size, little_);
}

std::uint64_t TiffReader::first_directory() const {
  return number(big_ ? 8 : 4, offset());
}

std::uint64_t TiffReader::entries(std::uint64_t directory) const {
  return std::min(number(directory, head()), kMostEntries);
}

std::uint64_t TiffReader::next_directory(std::uint64_t directory) const {
  if (directory >= bytes_.size()) return 0;
  return number(directory + head() + entries(directory) * entry(), offset());
}

std::vector<std::uint64_t> TiffReader::chain(std::uint64_t directory) const {
  std::vector<std::uint64_t> found;
  std::uint64_t taken = 0;
  for (; directory != 0 && directory < bytes_.size(); directory = next_directory(directory)) {
    taken += head() + entries(directory) * entry() + offset();
    if (taken > bytes_.size()) break;
    found.push_back(directory);
  }
  return found;
}

bool TiffReader::is_reduced(std::uint64_t directory) const {
  constexpr std::uint16_t kNewSubfileType = 254, kSubfileType = 255;
  constexpr std::uint64_t kReducedBit = 1, kReducedKind = 2;
  return (value(directory, kNewSubfileType).value_or(0) & kReducedBit) != 0 ||
         value(directory, kSubfileType) == kReducedKind;
}

std::optional<TiffReader::Field> TiffReader::field(std::uint64_t directory, std::uint16_t tag) const {
  if (directory == 0 || directory >= bytes_.size()) return std::nullopt;
  const std::uint64_t count = entries(directory);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t at = directory + head() + i * entry();
    if (at >= bytes_.size()) break;
    if (number(at, 2) != tag) continue;
    Field found{static_cast<unsigned>(number(at + 2, 2)), at + 4 + offset(), number(at + 4, offset())};
    const std::size_t size = size_of(found.type);
    if (size == 0 || found.count == 0 || found.count > bytes_.size() / size) return std::nullopt;
    // What does not fit in the entry stands elsewhere, and its place in the entry.
    if (found.count * size > offset()) found.at = number(found.at, offset());
    if (found.at > bytes_.size() || bytes_.size() - found.at < found.count * size) return std::nullopt;
    return found;
  }
  return std::nullopt;
}

std::vector<std::uint64_t> TiffReader::values(std::uint64_t directory, std::uint16_t tag, std::size_t most) const {
  std::vector<std::uint64_t> found;
  const auto f = field(directory, tag);
  if (!f) return found;
  const std::size_t size = size_of(f->type);
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(f->count, most); ++i) {
    found.push_back(number(f->at + i * size, size));
  }
  return found;
}

std::optional<std::uint64_t> TiffReader::value(std::uint64_t directory, std::uint16_t tag) const {
  const std::vector<std::uint64_t> found = values(directory, tag, 1);
  return found.empty() ? std::nullopt : std::optional(found.front());
}

std::string TiffReader::text(std::uint64_t directory, std::uint16_t tag) const {
  std::string text;
  for (const std::uint64_t c : values(directory, tag, kMostText)) {
    if (c == 0) break;
    text += static_cast<char>(c);
  }
  return text;
}

}  // namespace step1x::image
