// The bytes of an input picture, from a file or a stream, bounded before they are read. Any thread.
// Every failure is Error(bad_image) with the name and the system's reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace step1x::image {

struct PictureFile {
  std::vector<std::byte> bytes;
  // What does not begin like a supported picture is read no further: then `bytes` are its beginning only.
  bool whole = false;
  // As they were before the first byte was read.
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
};

// A regular file (or a link to one): a fifo or device is refused without waiting for it.
PictureFile read_picture_file(const std::filesystem::path& path, std::uint64_t max_bytes);

// Reads a descriptor, standard input for example, to its end. `name` is for messages.
std::vector<std::byte> read_stream(int fd, const std::string& name, std::uint64_t max_bytes);

}  // namespace step1x::image
