// Tells whether an ICC profile is sRGB by another name, which most cameras and editors embed: such a picture needs no
// conversion, which would cost twice the time of decoding and change values by one. Pure function, any thread; any
// bytes may come in. Layout and formulas: ICC.1:2022, sections 7.2 (header), 7.3 (tag table), 10.6 (curveType),
// 10.18 (parametricCurveType), 10.31 (XYZType); sRGB: IEC 61966-2-1.
#pragma once

#include <cstddef>
#include <span>

namespace step1x::image {

// True for an RGB matrix profile with the primaries of sRGB (to 0.002 in XYZ) whose curves move no 8-bit value by half
// a step.
bool is_srgb(std::span<const std::byte> profile);

}  // namespace step1x::image
