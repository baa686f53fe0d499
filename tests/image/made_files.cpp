#include "image/made_files.hpp"

#include <zlib.h>

#include <algorithm>
#include <span>

namespace step1x::test {

FileBytes bytes_from(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

void append(FileBytes& to, const FileBytes& bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

std::string be(std::uint64_t value, int bytes) {
  std::string text;
  constexpr int kBytes = sizeof value;
  for (int i = bytes - 1; i >= 0; --i) text += i < kBytes ? static_cast<char>(value >> (8 * i)) : '\0';
  return text;
}

TiffMaker::TiffMaker(bool little, bool big) : little_(little), big_(big) {
  append(bytes_, bytes_from(little ? "II" : "MM"));
  put(big ? 43 : 42, 2);
  if (big) {
    put(8, 2);
    put(0, 2);
  }
  put(0, big ? 8 : 4);
}

TiffMaker::Field TiffMaker::text(std::uint16_t tag, std::string_view text) {
  Field field{tag, 2, {}};
  for (const char c : text) field.values.push_back(static_cast<unsigned char>(c));
  field.values.push_back(0);
  return field;
}

void TiffMaker::put(std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i)
    bytes_.push_back(static_cast<std::byte>(value >> (8 * (little_ ? i : size - 1 - i))));
}

std::vector<TiffMaker::Field> TiffMaker::picture(int side, int red, int green, int blue) {
  const std::uint64_t at = bytes_.size();
  for (int i = 0; i < side * side; ++i) {
    for (const int c : {red, green, blue}) put(static_cast<std::uint64_t>(c), 1);
  }
  const auto s = static_cast<std::uint64_t>(side);
  return {number(256, s),  number(257, s), {258, 3, {8, 8, 8}}, {259, 3, {1}},          {262, 3, {2}},
          number(273, at), {277, 3, {3}},  number(278, s),      number(279, s * s * 3), {284, 3, {1}}};
}

std::uint64_t TiffMaker::directory(std::vector<Field> fields, std::uint64_t next) {
  std::ranges::sort(fields, {}, &Field::tag);
  const std::size_t room = big_ ? 8 : 4;
  const auto size_of = [](std::uint16_t type) { return std::size_t(type == 2 ? 1 : type == 3 ? 2 : 4); };
  std::vector<std::uint64_t> places;
  for (const Field& field : fields) {
    if (bytes_.size() % 2 != 0) put(0, 1);
    places.push_back(bytes_.size());
    if (field.values.size() * size_of(field.type) <= room) continue;
    for (const std::uint64_t value : field.values) put(value, size_of(field.type));
  }
  const std::uint64_t at = bytes_.size() + bytes_.size() % 2;
  bytes_.resize(at);
  put(fields.size(), big_ ? 8 : 2);
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const Field& field = fields[i];
    put(field.tag, 2);
    put(field.type, 2);
    put(field.values.size(), room);
    const std::size_t end = bytes_.size() + room;
    if (field.values.size() * size_of(field.type) <= room) {
      for (const std::uint64_t value : field.values) put(value, size_of(field.type));
    } else {
      put(places[i], room);
    }
    bytes_.resize(end);
  }
  put(next, room);
  return at;
}

FileBytes TiffMaker::finish(std::uint64_t first) {
  FileBytes whole = bytes_;
  bytes_.clear();
  put(first, big_ ? 8 : 4);
  std::ranges::copy(bytes_, whole.begin() + (big_ ? 8 : 4));
  return whole;
}

FileBytes colour_exif(unsigned colour_space, std::string_view index, bool little) {
  TiffMaker tiff(little);
  std::vector<TiffMaker::Field> fields{{0xA001, 3, {colour_space}}};
  if (!index.empty()) fields.push_back(TiffMaker::number(0xA005, tiff.directory({TiffMaker::text(1, index)})));
  const std::uint64_t exif = tiff.directory(fields);
  return tiff.finish(tiff.directory({TiffMaker::text(271, "Maker"), TiffMaker::number(0x8769, exif)}));
}

FileBytes jpeg_with_exif(FileBytes jpeg, const FileBytes& exif) {
  FileBytes segment = bytes_from("\xFF\xE1" + be(exif.size() + 8, 2) + std::string("Exif\0\0", 6));
  append(segment, exif);
  jpeg.insert(jpeg.begin() + 2, segment.begin(), segment.end());
  return jpeg;
}

FileBytes png_with(FileBytes png, std::string_view type, std::string_view data) {
  const std::string summed = std::string(type) + std::string(data);
  const auto crc = ::crc32(0, reinterpret_cast<const Bytef*>(summed.data()), static_cast<uInt>(summed.size()));
  const FileBytes chunk = bytes_from(be(data.size(), 4) + summed + be(crc, 4));
  constexpr std::ptrdiff_t kHeaderEnd = 8 + 12 + 13;
  png.insert(png.begin() + kHeaderEnd, chunk.begin(), chunk.end());
  return png;
}

FileBytes png_without(const FileBytes& png, std::string_view type) {
  FileBytes kept(png.begin(), png.begin() + 8);
  for (std::size_t at = 8; at < png.size();) {
    std::size_t size = 12;
    for (std::size_t i = 0; i < 4; ++i) size += std::to_integer<std::size_t>(png[at + i]) << (8 * (3 - i));
    const std::string_view found(reinterpret_cast<const char*>(&png[at + 4]), 4);
    if (found != type)
      kept.insert(kept.end(), png.begin() + std::ptrdiff_t(at), png.begin() + std::ptrdiff_t(at + size));
    at += size;
  }
  return kept;
}

std::string box(std::string_view type, const std::string& content) {
  return be(content.size() + 8, 4) + std::string(type) + content;
}

}  // namespace step1x::test
