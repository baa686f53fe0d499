// Finds what a picture file says of its colours besides an embedded profile: cICP, sRGB, gAMA and cHRM of PNG, the
// "nclx" box of AVIF and HEIC, and Adobe RGB by EXIF. Pure functions, any thread; any bytes may come in. What is
// damaged is as if it were missing.
//
// Sources: PNG specification (third edition), sections 4.3 (which goes before which), 11.3.2.1 (cHRM), 11.3.2.2 (gAMA),
// 11.3.2.5 (sRGB) and 11.3.2.6 (cICP); CIPA DC-008 (Exif 2.32), section 4.6.5 (ColorSpace) and 4.6.8
// (InteroperabilityIndex), and DCF 2.0 (CIPA DC-009), section 3.2.3, for "R03".
#pragma once

#include <cstddef>
#include <span>

#include "image/colour_space.hpp"
#include "image/format.hpp"

namespace step1x::image {

// `exif` is the block that a decoder found, or empty. Of a TIFF the file itself is read, and in PNG EXIF has no say.
ColourStatement colour_statement(Format format, std::span<const std::byte> file, std::span<const std::byte> exif);

}  // namespace step1x::image
