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
  // format: --format's value. count: how many results there will be. Throws Error(usage) when the place cannot be
  // written to or the format is unknown.
  PictureOutput(const std::filesystem::path& unnamed, const std::optional<std::string>& output,
                const std::optional<std::string>& format, int count = 1);

  bool is_stdout() const { return path_.empty(); }
  // Of the first result. Empty: standard output.
  const std::filesystem::path& path() const { return path_; }
  image::Format format() const { return format_; }
  // Throws Error(usage) where the format has no room for such a picture.
  void check_sides(int width, int height) const;
  // Writes the encoded picture and returns its path ("-" for standard output): the n-th result from 1, whose name has
  // its number. Throws Error(failure): then there is the old file or none.
  std::string write(std::span<const std::byte> bytes, int n = 1);

 private:
  std::filesystem::path path_;
  image::Format format_ = image::Format::png;
  bool replace_ = false;
  int next_ = 1;  // of the names that were not tried
};

// --quality: throws Error(usage) where the format loses nothing, so that there is no more or less of it.
void check_quality(const std::optional<int>& quality, image::Format format);

// The folder that -o's value names, made where it ends with a slash and is not there; nullopt: it names something else.
// Throws Error(usage) when it cannot be made.
std::optional<std::filesystem::path> output_folder(const std::optional<std::string>& output);

// The n-th name to try, from 1: a-edited.png, a-edited-2.png, ...
std::filesystem::path numbered(const std::filesystem::path& path, int n);

}  // namespace step1x::cli
