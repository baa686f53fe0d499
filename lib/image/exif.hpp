// Reads in a block of EXIF what a picture's colours are, and changes in it what is not true of another picture than the
// one it came with. Pure functions, any thread; any bytes may come in. Layout: CIPA DC-008 (Exif 2.32), sections 4.5
// and 4.6, and TIFF 6.0, section 2; "R03" for Adobe RGB: DCF 2.0 (CIPA DC-009), section 3.2.3.
#pragma once

#include <cstddef>
#include <span>

namespace step1x::image {

// That the samples are Adobe RGB: a ColorSpace that is not calibrated with the interoperability index "R03", or 2,
// which no standard has but cameras write. `block` may be a TIFF file too.
bool exif_says_adobe_rgb(std::span<const std::byte> block);

// In place: Orientation becomes 1, ColorSpace and the interoperability index sRGB's, and the thumbnail is cut loose and
// overwritten with zeros. All else stays, to the byte: the notes of camera makers hold offsets that nobody else knows.
// What is no EXIF is left alone.
void fit_exif(std::span<std::byte> block);

}  // namespace step1x::image
