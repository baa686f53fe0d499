#include "image/png_chunks.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

namespace step1x::image {
namespace {

constexpr std::size_t kSignature = 8;
constexpr std::size_t kAround = 12;  // length, type and checksum of a chunk

std::uint32_t number(std::span<const std::byte> bytes) {
  std::uint32_t value = 0;
  for (const std::byte byte : bytes.first(4)) value = value << 8 | std::to_integer<std::uint32_t>(byte);
  return value;
}

std::string big_endian(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 255);
  return bytes;
}

// Not compressed, of no language, without a translation of its name.
std::string xmp_chunk(std::string_view xmp) {
  using namespace std::string_view_literals;
  std::string chunk = "iTXt";
  chunk += "XML:com.adobe.xmp\0\0\0\0\0"sv;
  chunk += xmp;
  const auto crc = ::crc32_z(0, reinterpret_cast<const unsigned char*>(chunk.data()), chunk.size());
  return big_endian(static_cast<std::uint32_t>(chunk.size() - 4)) + chunk + big_endian(static_cast<std::uint32_t>(crc));
}

}  // namespace

std::vector<std::byte> finish_png(std::span<const std::byte> png, std::string_view xmp) {
  const std::string chunk = xmp.empty() ? "" : xmp_chunk(xmp);
  std::vector<std::byte> result(png.size() + chunk.size());
  auto end = result.begin();
  const auto copy = [&](std::span<const std::byte> bytes) { end = std::ranges::copy(bytes, end).out; };
  copy(png.first(kSignature));
  png = png.subspan(kSignature);
  bool exif = false;
  while (png.size() >= kAround) {
    const std::size_t size = std::min<std::size_t>(kAround + number(png), png.size());
    const std::string_view type(reinterpret_cast<const char*>(png.data()) + 4, 4);
    if (type != "eXIf" || !std::exchange(exif, true)) copy(png.first(size));
    if (type == "IHDR") copy(std::as_bytes(std::span(chunk)));
    png = png.subspan(size);
  }
  result.erase(end, result.end());
  return result;
}

}  // namespace step1x::image
