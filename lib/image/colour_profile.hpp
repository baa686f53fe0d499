// An ICC profile for colours that a picture tells without one, so that libvips converts them as it does all others.
// Under VipsLock.
//
// Errors: Error(failure) where libvips was built without Little CMS, which makes the profile.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "image/colour_space.hpp"

namespace step1x::image {

// Of RGB. Empty: no profile can be made of such numbers.
std::vector<std::byte> profile_of(const ColourSpace& space);

// It has what is needed to convert from it. For one that has not libvips takes sRGB and says nothing (8.14).
bool is_usable(std::span<const std::byte> profile);

}  // namespace step1x::image
