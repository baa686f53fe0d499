// Metadata between libvips' images and ours. Under VipsLock.
#pragma once

#include <cstddef>
#include <span>

#include "image/metadata.hpp"
#include "image/vips_library.hpp"

namespace step1x::image {

// What is in the image under this name; empty: nothing. Valid as long as the image is and is not changed.
std::span<const std::byte> blob_of(VipsImage* image, const char* name);

// All but the XMP, which tells of the old picture.
Metadata metadata_of(VipsImage* image);

// `image` must be nobody else's. What its format has no place for is dropped when it is saved.
void attach(VipsImage* image, const Metadata& metadata);

}  // namespace step1x::image
