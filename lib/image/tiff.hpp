// The directories of a TIFF, a BigTIFF, or a block of EXIF, which is built like one. Reads only, and only numbers:
// libtiff decodes pictures, but through libvips it tells nothing of what stands beside them. Constant; any thread, as
// long as the bytes are there.
//
// Any bytes may come in. What is not there, or is not what a tag is to hold, is as if the tag were missing.
// Layout: TIFF 6.0, sections 2 and 8 (NewSubfileType); BigTIFF: libtiff's specification,
// https://libtiff.gitlab.io/libtiff/specification/bigtiff.html
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace step1x::image {

class TiffReader {
 public:
  // nullopt: what the bytes begin with is no TIFF's header.
  static std::optional<TiffReader> open(std::span<const std::byte> bytes);

  // Directories are named by their places; 0 is none.
  std::uint64_t first_directory() const;
  std::uint64_t next_directory(std::uint64_t directory) const;
  // The directory and those that follow it. Ends where they take more bytes than there are, as they do in a ring.
  std::vector<std::uint64_t> chain(std::uint64_t directory) const;

  // It says that its picture is a smaller version of another one in the file.
  bool is_reduced(std::uint64_t directory) const;

  // Whole numbers, at most `most` of them.
  std::vector<std::uint64_t> values(std::uint64_t directory, std::uint16_t tag, std::size_t most) const;
  std::optional<std::uint64_t> value(std::uint64_t directory, std::uint16_t tag) const;
  // Up to the first NUL, and at most 64 bytes. "": the tag is missing.
  std::string text(std::uint64_t directory, std::uint16_t tag) const;

 private:
  TiffReader(std::span<const std::byte> bytes, bool little, bool big) : bytes_(bytes), little_(little), big_(big) {}

  struct Field {
    unsigned type = 0;
    std::uint64_t at = 0;
    std::uint64_t count = 0;
  };
  std::optional<Field> field(std::uint64_t directory, std::uint16_t tag) const;
  std::uint64_t number(std::uint64_t at, std::size_t size) const;
  std::uint64_t entries(std::uint64_t directory) const;
  // Bytes of a directory: before its entries, in each, and in the offset of what follows them.
  std::size_t head() const { return big_ ? 8 : 2; }
  std::size_t entry() const { return big_ ? 20 : 12; }
  std::size_t offset() const { return big_ ? 8 : 4; }

  std::span<const std::byte> bytes_;
  bool little_;
  bool big_;
};

}  // namespace step1x::image
