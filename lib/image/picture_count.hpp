// How many pictures a file holds, of which only the first is decoded: pages, frames, and the pictures of a HEIC. Pure
// function, any thread; any bytes may come in.
//
// Layouts: TIFF 6.0, section 8 (NewSubfileType); PNG specification (third edition), sections 4.9 and 11.3.6 (acTL,
// fcTL); heif_boxes.hpp.
#pragma once

#include <cstddef>
#include <span>

#include "image/format.hpp"

namespace step1x::image {

// At least 1. What only accompanies a picture does not count: thumbnails, the smaller levels of a pyramid, masks, alpha
// and depth. `pages` is libvips' own count, which is right for GIF, WebP, AVIF and HEIC but for their sequences.
int count_pictures(Format format, std::span<const std::byte> file, int pages);

}  // namespace step1x::image
