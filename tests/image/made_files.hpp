// Makes files that no well-known program writes on demand: TIFFs of many directories, EXIF, PNG chunks, boxes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace step1x::test {

using FileBytes = std::vector<std::byte>;

FileBytes bytes_from(std::string_view text);
void append(FileBytes& to, const FileBytes& bytes);
// Big-endian, as in PNG and in boxes.
std::string be(std::uint64_t value, int bytes);

// A TIFF, made from its end: what a directory points to is written before it.
class TiffMaker {
 public:
  explicit TiffMaker(bool little = true, bool big = false);

  struct Field {
    std::uint16_t tag;
    std::uint16_t type;  // 2: ASCII, 3: SHORT, 4: LONG
    std::vector<std::uint64_t> values;
  };
  static Field number(std::uint16_t tag, std::uint64_t value) { return {tag, 4, {value}}; }
  static Field text(std::uint16_t tag, std::string_view text);

  // The tags of an RGB picture of one colour, whose pixels are written now.
  std::vector<Field> picture(int side, int red, int green, int blue);
  // Gives the directory's place. `next`: that of the one that follows it.
  std::uint64_t directory(std::vector<Field> fields, std::uint64_t next = 0);
  FileBytes finish(std::uint64_t first);

 private:
  void put(std::uint64_t value, std::size_t size);

  FileBytes bytes_;
  bool little_;
  bool big_;
};

// Of a camera that says nothing but the colours; `index` is the interoperability index, "" for none.
FileBytes colour_exif(unsigned colour_space, std::string_view index, bool little = true);
FileBytes jpeg_with_exif(FileBytes jpeg, const FileBytes& exif);

// Behind the header of the PNG; and without the chunks of this type.
FileBytes png_with(FileBytes png, std::string_view type, std::string_view data);
FileBytes png_without(const FileBytes& png, std::string_view type);

std::string box(std::string_view type, const std::string& content);

}  // namespace step1x::test
