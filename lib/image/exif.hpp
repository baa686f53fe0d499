// Changes in a block of EXIF what is not true of another picture than the one it came with. Pure function, any thread;
// any bytes may come in. Layout: CIPA DC-008 (Exif 2.32), sections 4.5 and 4.6, and TIFF 6.0, section 2.
#pragma once

#include <cstddef>
#include <span>

namespace step1x::image {

// In place: Orientation becomes 1, and the thumbnail is cut loose and overwritten with zeros. All else stays, to the
// byte: the notes of camera makers hold offsets that nobody else knows. What is no EXIF is left alone.
void fit_exif(std::span<std::byte> block);

}  // namespace step1x::image
