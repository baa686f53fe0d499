// What libvips 8.14 gets wrong in the PNG files that it writes: it puts XMP into a compressed chunk of Latin-1 text,
// where other programs do not look for it, and EXIF into two chunks where one is allowed. Pure function, any thread.
// Layout: PNG specification (third edition), sections 5.3, 11.3.2.2 (iTXt) and 11.3.4.3 (eXIf); XMP part 3,
// section 1.1.5.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace step1x::image {

// The file with the packet as XMP wants it, unless that is empty, and without a second eXIf. `png` is a whole PNG file.
std::vector<std::byte> finish_png(std::span<const std::byte> png, std::string_view xmp);

}  // namespace step1x::image
