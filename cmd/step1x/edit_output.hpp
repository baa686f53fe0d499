// Where the result of `edit` goes. Everything that can be known before the work is checked before the work.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "image/format.hpp"

namespace step1x::cli {

class EditOutput {
 public:
  // output: -o's value; without one `<stem>-edited.png` beside the input (stdin-edited.png here for "-"), which never
  // replaces a file. format: --format's value. Throws Error(usage) when the place cannot be written to or the format is
  // unknown.
  EditOutput(const std::string& input, const std::optional<std::string>& output,
             const std::optional<std::string>& format);

  bool is_stdout() const { return path_.empty(); }
  image::Format format() const { return format_; }
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
