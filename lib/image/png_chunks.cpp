#include "image/png_chunks.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "image/png_reader.hpp"

namespace step1x::image {
namespace {

constexpr std::size_t kSignature = 8;

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
  bool exif = false;
  PngReader reader(png);
  for (auto each = reader.next(); each; each = reader.next()) {
    if (each->type != "eXIf" || !std::exchange(exif, true)) copy(each->whole);
    if (each->type == "IHDR") copy(std::as_bytes(std::span(chunk)));
  }
  result.erase(end, result.end());
  return result;
}

}  // namespace step1x::image
