// Tells a camera's raw file, most kinds of which are TIFFs by their first bytes and begin with a small preview, so that
// a decoder of TIFF takes the preview for the picture. Pure function, any thread; any bytes may come in.
//
// Layouts: TIFF 6.0, sections 2 and 8 (NewSubfileType); TIFF Technical Note 1 (SubIFDs); TIFF/EP, ISO 12234-2, and the
// DNG Specification 1.7, chapter 4 (DNGVersion, and the photometric interpretations CFA and LinearRaw); CR2:
// https://github.com/lclevy/libcraw2/blob/master/docs/cr2_poster.pdf
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace step1x::image {

// What the file is, "a camera's raw file (DNG)" for example, where its first directory does not hold the picture that
// its name promises; "" where it does, and for what is no TIFF.
std::string describe_camera_raw(std::span<const std::byte> tiff);

}  // namespace step1x::image
