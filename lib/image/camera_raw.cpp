#include "image/camera_raw.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "image/numbers.hpp"
#include "image/tiff.hpp"

namespace step1x::image {
namespace {

constexpr std::uint16_t kWidth = 256;
constexpr std::uint16_t kHeight = 257;
constexpr std::uint16_t kPhotometric = 262;
constexpr std::uint16_t kMake = 271;
constexpr std::uint16_t kSubDirectories = 330;
constexpr std::uint16_t kDngVersion = 50706;

constexpr std::uint64_t kColourFilterArray = 32803;
constexpr std::uint64_t kLinearRaw = 34892;

// Cameras write five at most; a picture of many pages is no raw file.
constexpr std::size_t kMostDirectories = 16;

struct Maker {
  std::string_view begins;
  std::string_view kind;
};
constexpr std::array kMakers{
    Maker{"NIKON", "NEF"},      Maker{"SONY", "ARW"},          Maker{"PENTAX", "PEF"},
    Maker{"RICOH", "PEF"},      Maker{"Canon", "CR2"},         Maker{"SAMSUNG", "SRW"},
    Maker{"Hasselblad", "3FR"}, Maker{"EASTMAN KODAK", "DCR"}, Maker{"Kodak", "DCR"},
};

bool is_sensor_data(const TiffReader& tiff, std::uint64_t directory) {
  const auto photometric = tiff.value(directory, kPhotometric);
  return photometric == kColourFilterArray || photometric == kLinearRaw;
}

// In pixels; of sides that no picture has, none.
std::uint64_t area(const TiffReader& tiff, std::uint64_t directory) {
  constexpr std::uint64_t kMostSide = 0xFFFF'FFFF;
  const std::uint64_t width = tiff.value(directory, kWidth).value_or(0);
  const std::uint64_t height = tiff.value(directory, kHeight).value_or(0);
  return width > kMostSide || height > kMostSide ? 0 : width * height;
}

std::string raw_file(std::string_view kind) {
  std::string text = "a camera's raw file";
  if (!kind.empty()) text.append(" (").append(kind).append(")");
  return text;
}

std::string_view kind_of(std::string_view make) {
  for (const Maker& maker : kMakers) {
    if (make.starts_with(maker.begins)) return maker.kind;
  }
  return "";
}

}  // namespace

std::string describe_camera_raw(std::span<const std::byte> bytes) {
  const auto tiff = TiffReader::open(bytes);
  if (!tiff) return "";
  // With its version, because another TIFF may have its first pixels here.
  constexpr std::uint64_t kCr2 = 0x43520200;
  if (number_at(bytes, 8, 4) == kCr2) return raw_file("CR2");
  const std::uint64_t first = tiff->first_directory();
  if (!tiff->values(first, kDngVersion, 1).empty()) return raw_file("DNG");

  const std::string_view kind = kind_of(tiff->text(first, kMake));
  const std::vector<std::uint64_t> below = tiff->values(first, kSubDirectories, kMostDirectories);
  std::vector<std::uint64_t> directories = tiff->chain(first);
  directories.resize(std::min(directories.size(), kMostDirectories));
  directories.insert(directories.end(), below.begin(), below.end());
  if (std::ranges::any_of(directories, [&](std::uint64_t at) { return is_sensor_data(*tiff, at); }))
    return raw_file(kind);

  // The levels of a pyramid are below their picture too, but smaller than it.
  const std::uint64_t most = 2 * std::min(area(*tiff, first), ~std::uint64_t{0} / 2);
  const bool larger = std::ranges::any_of(below, [&](std::uint64_t at) { return area(*tiff, at) > most; });
  if (!larger && !tiff->is_reduced(first)) return "";
  return kind.empty() ? "a TIFF that begins with a small preview of its picture, as a camera's raw file does"
                      : raw_file(kind);
}

}  // namespace step1x::image
