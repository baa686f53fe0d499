// The picture that is edited: from a file or standard input to the sealed pixels that travel.
#pragma once

#include <optional>
#include <string>

#include "base/fd.hpp"
#include "config/config.hpp"
#include "image/decoder.hpp"
#include "image/format.hpp"

namespace step1x::cli {

struct InputPicture {
  std::string name;  // as it was given
  UniqueFd fd;       // sealed, width * height * 3
  int width = 0;
  int height = 0;
  image::Metadata metadata;
  int pictures = 1;                     // in the file, of which the first is taken
  std::optional<image::Format> format;  // of standard input, told by its content
};

// What is said where a file holds several.
std::string further_pictures(const std::string& name, int pictures);

// What is taken for a picture.
image::Limits limits_of(const config::Settings& settings);

// `input` is a path, or "-". Throws Error(bad_image).
InputPicture read_picture(const std::string& input, const config::Settings& settings);

}  // namespace step1x::cli
