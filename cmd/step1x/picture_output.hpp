// Where the picture goes that a command makes. Everything that can be known before the work is checked before the work.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "image/format.hpp"

namespace step1x::cli {

class PictureOutput {
 public:
  // unnamed: the path without its extension where `output`, -o's value, is not given; then no file is ever replaced.
  // format: --format's value. Throws Error(usage) when the place cannot be written to or the format is unknown.
  PictureOutput(const std::filesystem::path& unnamed, const std::optional<std::string>& output,
                const std::optional<std::string>& format);

  bool is_stdout() const { return path_.empty(); }
  image::Format format() const { return format_; }
  // Throws Error(usage) where the format has no room for such a picture.
  void check_sides(int width, int height) const;
  // Writes the encoded picture and returns its path ("-" for standard output). Throws Error(failure): then there is the
  // old file or none.
  std::string write(std::span<const std::byte> bytes) const;

 private:
  std::filesystem::path path_;
  image::Format format_ = image::Format::png;
  bool replace_ = false;
};

// The n-th name to try, from 1: a-edited.png, a-edited-2.png, ...
std::filesystem::path numbered(const std::filesystem::path& path, int n);

}  // namespace step1x::cli
