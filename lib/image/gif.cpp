#include "image/gif.hpp"

namespace step1x::image {
namespace {

constexpr int kExtension = 0x21;
constexpr int kGraphicControl = 0xf9;
constexpr int kImage = 0x2c;

}  // namespace

std::optional<std::array<std::uint8_t, 3>> gif_hidden_colour(std::span<const std::byte> file) {
  const auto byte = [&](std::size_t at) { return at < file.size() ? static_cast<int>(file[at]) : -1; };
  // A colour table's size in bytes, from the flags that announce it.
  const auto table_size = [](int flags) { return (flags & 0x80) != 0 ? std::size_t{3} << ((flags & 7) + 1) : 0; };

  std::size_t table = 13;
  std::size_t size = byte(10) < 0 ? 0 : table_size(byte(10));
  std::size_t at = table + size;
  int index = 0;
  while (byte(at) == kExtension) {
    if (byte(at + 1) == kGraphicControl && byte(at + 2) == 4 && (byte(at + 3) & 1) != 0) index = byte(at + 6);
    at += 2;
    while (byte(at) > 0) at += 1 + static_cast<std::size_t>(byte(at));
    ++at;
  }
  if (byte(at) != kImage || byte(at + 9) < 0) return std::nullopt;
  if (const std::size_t local = table_size(byte(at + 9)); local != 0) {
    table = at + 10;
    size = local;
  }
  const std::size_t entry = 3 * static_cast<std::size_t>(index);
  if (index < 0 || entry + 3 > size || table + entry + 3 > file.size()) return std::nullopt;
  std::array<std::uint8_t, 3> colour{};
  for (std::size_t i = 0; i < 3; ++i) colour[i] = static_cast<std::uint8_t>(file[table + entry + i]);
  return colour;
}

}  // namespace step1x::image
