// Reads the pictures of tests/image/fixtures, and decodes in one call.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "image/decoder.hpp"

namespace step1x::test {

std::filesystem::path fixture(const std::string& name);
std::vector<std::byte> fixture_bytes(const std::string& name);

struct Picture {
  int width = 0;
  int height = 0;
  std::vector<std::byte> rgb;

  int at(int x, int y, int channel) const {
    return int(rgb[(std::size_t(y) * std::size_t(width) + std::size_t(x)) * 3 + std::size_t(channel)]);
  }
};

Picture decode(image::Decoder decoder);
// The message of the bad_image error that decoding gives, checked to be one line that names the picture; "" if none.
std::string decode_error(std::vector<std::byte> bytes, const image::Limits& limits = {});
std::string file_error(const std::filesystem::path& path, const image::Limits& limits = {});

}  // namespace step1x::test
