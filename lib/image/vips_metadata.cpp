#include "image/vips_metadata.hpp"

#include <string_view>

#include "image/exif.hpp"

namespace step1x::image {
namespace {

// What fit_exif() has changed or cut off in the block.
bool is_outdated(std::string_view name) {
  return name == "exif-ifd0-Orientation" || name.starts_with("exif-ifd1-");
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
      exif.tags.emplace_back(*name, text);
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
