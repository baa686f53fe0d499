#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <random>

#include "image/encode.hpp"
#include "image/exif.hpp"
#include "image/fixtures.hpp"
#include "image/provenance.hpp"

using namespace step1x;
using namespace step1x::image;
using namespace step1x::test;

namespace {

constexpr std::string_view kThumbnail = "the picture as it was before";

// EXIF as a camera writes it: Make, Orientation and Artist, then a second directory with the thumbnail.
class Writer {
 public:
  explicit Writer(bool little) : little_(little) {}

  void number(std::uint32_t value, int size) {
    for (int i = 0; i < size; ++i) bytes.push_back(static_cast<std::byte>(value >> (8 * (little_ ? i : size - 1 - i))));
  }
  void entry(std::uint32_t tag, std::uint32_t type, std::uint32_t count, std::uint32_t value) {
    number(tag, 2);
    number(type, 2);
    number(count, 4);
    // A SHORT stands in the first two of the four bytes.
    number(value, type == 3 ? 2 : 4);
    if (type == 3) number(0, 2);
  }
  void text(std::string_view text) {
    for (const char c : text) bytes.push_back(std::byte(c));
  }

  std::vector<std::byte> bytes;

 private:
  bool little_;
};

std::vector<std::byte> camera_exif(bool little, bool named = true) {
  Writer w(little);
  if (named) w.text(std::string_view("Exif\0\0", 6));
  w.text(little ? "II" : "MM");
  w.number(42, 2);
  w.number(8, 4);
  constexpr std::uint32_t kMake = 8 + 2 + 3 * 12 + 4;
  constexpr std::uint32_t kArtist = kMake + 6;
  constexpr std::uint32_t kSecond = kArtist + 10;
  constexpr std::uint32_t kPicture = kSecond + 2 + 3 * 12 + 4;
  w.number(3, 2);
  w.entry(0x010f, 2, 6, kMake);
  w.entry(0x0112, 3, 1, 6);
  w.entry(0x013b, 2, 9, kArtist);
  w.number(kSecond, 4);
  w.text(std::string_view("Canon\0", 6));
  w.text(std::string_view("Jane Doe\0\0", 10));
  w.number(3, 2);
  w.entry(0x0103, 3, 1, 6);
  w.entry(0x0201, 4, 1, kPicture);
  w.entry(0x0202, 4, 1, static_cast<std::uint32_t>(kThumbnail.size()));
  w.number(0, 4);
  w.text(kThumbnail);
  return w.bytes;
}

// As an APP1 segment behind the start of a JPEG file.
std::vector<std::byte> with_exif(std::vector<std::byte> jpeg, const std::vector<std::byte>& exif) {
  Writer segment(false);
  segment.number(0xFFE1, 2);
  segment.number(static_cast<std::uint32_t>(exif.size() + 2), 2);
  segment.bytes.insert(segment.bytes.end(), exif.begin(), exif.end());
  jpeg.insert(jpeg.begin() + 2, segment.bytes.begin(), segment.bytes.end());
  return jpeg;
}

bool holds(const std::vector<std::byte>& bytes, std::string_view text) {
  const auto* first = reinterpret_cast<const char*>(bytes.data());
  return std::string_view(first, bytes.size()).find(text) != std::string_view::npos;
}

std::string tag(const Metadata& metadata, std::string_view name) {
  for (const auto& [key, text] : metadata.exif.tags) {
    if (key == name) return text;
  }
  return "";
}

const std::vector<std::byte> kPixel{std::byte{10}, std::byte{200}, std::byte{90}};

}  // namespace

TEST_CASE("EXIF loses its orientation and its thumbnail, and nothing else") {
  for (const bool little : {true, false}) {
    for (const bool named : {true, false}) {
      CAPTURE(little);
      CAPTURE(named);
      const std::vector<std::byte> before = camera_exif(little, named);
      std::vector<std::byte> after = before;
      fit_exif(after);
      CHECK(holds(before, kThumbnail));
      CHECK_FALSE(holds(after, kThumbnail));
      CHECK(holds(after, "Canon"));
      CHECK(holds(after, "Jane Doe"));
      std::size_t changed = 0;
      for (std::size_t i = 0; i < before.size(); ++i) changed += before[i] != after[i] ? 1 : 0;
      // The thumbnail, the orientation, and one byte of the offset of the second directory.
      CHECK(changed == kThumbnail.size() + 2);
      std::vector<std::byte> again = after;
      fit_exif(again);
      CHECK(again == after);
    }
  }
}

TEST_CASE("whatever the bytes of an EXIF block are, nothing outside them is touched") {
  const std::vector<std::byte> whole = camera_exif(true);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    cut.shrink_to_fit();
    fit_exif(cut);
  }
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::byte> bad = camera_exif(i % 2 == 0);
    for (int n = 0; n < 4; ++n) bad[random() % bad.size()] = static_cast<std::byte>(random());
    fit_exif(bad);
  }
}

TEST_CASE("a picture that is made of one with EXIF keeps it upright in each format that has room for it") {
  for (const bool little : {true, false}) {
    const Decoder input = Decoder::from_bytes(with_exif(fixture_bytes("rgb.jpg"), camera_exif(little)), "it");
    REQUIRE(tag(input.metadata(), "exif-ifd0-Make").starts_with("Canon"));
    for (const Format format : {Format::png, Format::jpeg, Format::webp, Format::avif, Format::heic}) {
      CAPTURE(name(format));
      const std::vector<std::byte> file = encode(kPixel, 1, 1, format, {.metadata = input.metadata()});
      CHECK_FALSE(holds(file, kThumbnail));
      const Decoder back = Decoder::from_bytes(file, "it");
      CHECK(tag(back.metadata(), "exif-ifd0-Make").starts_with("Canon"));
      CHECK(tag(back.metadata(), "exif-ifd0-Artist").starts_with("Jane Doe"));
      // Were it not upright, its sides would be exchanged.
      const std::vector<std::byte> wide =
          encode(std::vector<std::byte>(6), 2, 1, format, {.metadata = input.metadata()});
      CHECK(Decoder::from_bytes(wide, "it").width() == 2);
    }
  }
}

TEST_CASE("a picture is printed at the size of the one it was made of") {
  Metadata metadata;
  metadata.x_resolution = metadata.y_resolution = 300 / 25.4;
  for (const Format format : {Format::png, Format::jpeg, Format::tiff}) {
    CAPTURE(name(format));
    const Decoder input = Decoder::from_bytes(encode(kPixel, 1, 1, format, {.metadata = metadata}), "it");
    CHECK(input.metadata().x_resolution == doctest::Approx(300 / 25.4).epsilon(0.01));
    // Where nobody says, it is what other programs take for it.
    const Decoder unknown = Decoder::from_bytes(encode(kPixel, 1, 1, format), "it");
    CHECK(unknown.metadata().x_resolution == doctest::Approx(72 / 25.4).epsilon(0.01));
  }
}

TEST_CASE("an XMP packet is in each format that has room for it, and in none without") {
  Metadata metadata;
  metadata.xmp = xmp_packet({true, "demo", {{"prompt", "make it red"}, {"seed", 7}}});
  for (const Format format : {Format::png, Format::jpeg, Format::webp, Format::avif, Format::heic, Format::tiff}) {
    CAPTURE(name(format));
    CHECK(holds(encode(kPixel, 1, 1, format, {.metadata = metadata}), metadata.xmp));
    CHECK_FALSE(holds(encode(kPixel, 1, 1, format), "xpacket"));
  }
  encode(kPixel, 1, 1, Format::gif, {.metadata = metadata});
}

TEST_CASE("a PNG file has its EXIF once, and its checksums are right") {
  const Decoder input = Decoder::from_bytes(with_exif(fixture_bytes("rgb.jpg"), camera_exif(true)), "it");
  Metadata metadata = input.metadata();
  metadata.xmp = xmp_packet({true,
                             "demo",
                             {{"prompt",
                               "gr\xC3\xB6\xC3\x9F"
                               "er"}}});
  const std::vector<std::byte> file = encode(kPixel, 1, 1, Format::png, {.metadata = metadata});
  std::vector<std::string> types;
  for (std::size_t at = 8; at < file.size();) {
    const auto byte = [&](std::size_t i) { return std::to_integer<std::uint32_t>(file[i]); };
    const auto number = [&](std::size_t i) {
      return byte(i) << 24 | byte(i + 1) << 16 | byte(i + 2) << 8 | byte(i + 3);
    };
    const std::size_t size = number(at);
    const auto* type = reinterpret_cast<const unsigned char*>(&file[at + 4]);
    types.emplace_back(reinterpret_cast<const char*>(type), 4);
    CHECK(::crc32(0, type, static_cast<unsigned>(size + 4)) == number(at + 8 + size));
    at += size + 12;
  }
  CHECK(std::ranges::count(types, "eXIf") == 1);
  CHECK(std::ranges::count(types, "iTXt") == 1);
  CHECK(std::ranges::count(types, "zTXt") == 0);
  CHECK(types.back() == "IEND");
}

TEST_CASE("prompts of any length and any characters make a packet that JPEG has room for") {
  const std::string hard = "<b>&\"'\x01\r\n\t\xEF\xBF\xBF \xC3\xBC \xF0\x9F\x8C\x88";
  const std::string packet = xmp_packet({true, "demo", {{"prompt", hard}, {"negative_prompt", ""}}});
  CHECK(packet.find("&lt;b&gt;&amp;\"'\xEF\xBF\xBD&#13;\n\t\xEF\xBF\xBD \xC3\xBC \xF0\x9F\x8C\x88<") !=
        std::string::npos);
  CHECK(packet.find("negative_prompt") == std::string::npos);

  for (const std::string text : {"&", "x", "\xC3\xBC"}) {
    std::string prompt;
    while (prompt.size() < 65'536) prompt += text;
    Metadata metadata;
    metadata.xmp = xmp_packet({true, "demo", {{"prompt", prompt}, {"negative_prompt", prompt}}});
    CHECK(metadata.xmp.size() < 64'000);
    CHECK(holds(encode(kPixel, 1, 1, Format::jpeg, {.metadata = metadata}), metadata.xmp));
  }
}

TEST_CASE("what a user does not want is not in the picture") {
  const Decoder input = Decoder::from_bytes(with_exif(fixture_bytes("rgb.jpg"), camera_exif(true)), "it");
  const Provenance made{true, "demo", {{"prompt", "make it red"}}};
  const auto file = [&](MetadataChoice choice) {
    return encode(kPixel, 1, 1, Format::jpeg, {.metadata = result_metadata(choice, input.metadata(), made)});
  };
  CHECK(holds(file({}), "make it red"));
  CHECK(holds(file({}), "Jane Doe"));
  CHECK_FALSE(holds(file({.provenance = false}), "make it red"));
  CHECK(holds(file({.provenance = false}), "Jane Doe"));
  CHECK(holds(file({.exif = false}), "make it red"));
  CHECK_FALSE(holds(file({.exif = false}), "Jane Doe"));
}
