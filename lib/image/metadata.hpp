// What a picture file says besides its pixels. Plain data.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace step1x::image {

// The EXIF of one picture, fit for the one that is made of it: upright, and without the thumbnail that shows the old
// one.
struct Exif {
  std::vector<std::byte> block;  // empty: there is none
  // The same as libvips names it. It leaves out of the block what is not here.
  std::vector<std::pair<std::string, std::string>> tags;
};

struct Metadata {
  Exif exif;
  std::string xmp;  // a packet (provenance.hpp), or empty
  // Pixels in a millimetre, for printing; 72 in an inch where nobody said.
  double x_resolution = 72 / 25.4;
  double y_resolution = 72 / 25.4;
};

}  // namespace step1x::image
