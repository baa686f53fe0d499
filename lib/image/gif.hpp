// The colour that stands in a GIF's palette for what its first frame leaves transparent, or, where it has a transparent
// colour, does not cover. libvips gives such pixels as black, but dropping alpha has to give the palette's colour, as
// Pillow does. Pure function, any thread; any bytes may come in. Layout: GIF89a specification, sections 17 to 24.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace step1x::image {

std::optional<std::array<std::uint8_t, 3>> gif_hidden_colour(std::span<const std::byte> file);

}  // namespace step1x::image
