#include "image/vips_metadata.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "image/exif.hpp"

namespace step1x::image {
namespace {

// What fit_exif() has changed or cut off in the block, and what else is said there of the old picture's colours.
bool is_outdated(std::string_view name) {
  constexpr std::array kNames{"exif-ifd0-Orientation", "exif-ifd0-WhitePoint", "exif-ifd0-PrimaryChromaticities",
                              "exif-ifd0-TransferFunction", "exif-ifd2-Gamma"};
  return name.starts_with("exif-ifd1-") || std::ranges::find(kNames, name) != kNames.end();
}

// The pixels are sRGB now. libvips reads a tag's value at its text's beginning.
const char* renewed(std::string_view name, const char* text) {
  if (name == "exif-ifd2-ColorSpace") return "1";
  if (name == "exif-ifd4-InteroperabilityIndex" && std::string_view(text).starts_with("R03")) return "R98";
  return text;
}

}  // namespace

std::span<const std::byte> blob_of(VipsImage* image, const char* name) {
  const VipsLibrary& v = vips();
  const void* data = nullptr;
  std::size_t size = 0;
  if (v.vips_image_get_typeof(image, name) == 0 || v.vips_image_get_blob(image, name, &data, &size) != 0) return {};
  return {static_cast<const std::byte*>(data), size};
}

Metadata metadata_of(VipsImage* image) {
  const VipsLibrary& v = vips();
  Metadata metadata;
  constexpr double kUnknown = 1.0;  // libvips' own word for it
  const double x = v.vips_image_get_xres(image);
  const double y = v.vips_image_get_yres(image);
  if (x > 0 && y > 0 && (x != kUnknown || y != kUnknown)) {
    metadata.x_resolution = x;
    metadata.y_resolution = y;
  }
  Exif& exif = metadata.exif;
  const std::span<const std::byte> block = blob_of(image, VIPS_META_EXIF_NAME);
  if (block.empty()) return metadata;
  exif.block.assign(block.begin(), block.end());
  fit_exif(exif.block);
  char** const names = v.vips_image_get_fields(image);
  for (char** name = names; *name != nullptr; ++name) {
    const char* text = nullptr;
    if (std::string_view(*name).starts_with("exif-ifd") && !is_outdated(*name) &&
        v.vips_image_get_string(image, *name, &text) == 0) {
      exif.tags.emplace_back(*name, renewed(*name, text));
    }
  }
  v.g_strfreev(names);
  return metadata;
}

void attach(VipsImage* image, const Metadata& metadata) {
  const VipsLibrary& v = vips();
  const Exif& exif = metadata.exif;
  if (!exif.block.empty()) v.vips_image_set_blob_copy(image, VIPS_META_EXIF_NAME, exif.block.data(), exif.block.size());
  for (const auto& [name, text] : exif.tags) v.vips_image_set_string(image, name.c_str(), text.c_str());
  if (!metadata.xmp.empty())
    v.vips_image_set_blob_copy(image, VIPS_META_XMP_NAME, metadata.xmp.data(), metadata.xmp.size());
}

}  // namespace step1x::image
