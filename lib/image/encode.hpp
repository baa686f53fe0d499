// Encodes 8-bit sRGB pixels into a picture file's bytes. The same pixels and options give the same bytes (on one
// version of libvips). Any thread; callers take turns. Errors: Error(failure), one line.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "image/format.hpp"
#include "image/metadata.hpp"

namespace step1x::image {

struct EncodeOptions {
  // Without it default_quality(); ignored where that has none. Chroma is never subsampled, where the format lets one
  // choose (WebP does not): it smears the very edges that an edit has drawn.
  std::optional<int> quality = std::nullopt;
  // PNG, JPEG, WebP, AVIF and HEIC hold all of it, TIFF the XMP, GIF nothing.
  Metadata metadata = {};
};

// rgb holds width * height * 3 bytes: R, G, B, rows from top to bottom, no padding.
std::vector<std::byte> encode(std::span<const std::byte> rgb, int width, int height, Format format,
                              const EncodeOptions& options = {});

}  // namespace step1x::image
