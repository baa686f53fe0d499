// What a picture says of its colours, other than by an embedded profile, counts. What the pixels have to be is told by
// the same statement as a profile, whose pixels Pillow has found (make_fixtures.py).
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "image/colour_statement.hpp"
#include "image/encode.hpp"
#include "image/exif.hpp"
#include "image/fixtures.hpp"
#include "image/heif_boxes.hpp"
#include "image/made_files.hpp"

using namespace step1x;
using namespace step1x::image;
using namespace step1x::test;

namespace {

FileBytes pixels_of(const FileBytes& file) {
  return decode(Decoder::from_bytes(file, "it")).rgb;
}

int distance(const FileBytes& a, const FileBytes& b) {
  REQUIRE(a.size() == b.size());
  int most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(int(a[i]) - int(b[i])));
  return most;
}

FileBytes with_cicp(const FileBytes& png, int primaries, int transfer, int matrix = 0, int full = 1) {
  const char data[]{char(primaries), char(transfer), char(matrix), char(full)};
  return png_with(png, "cICP", {data, 4});
}

FileBytes with_gamma(const FileBytes& png, std::uint32_t gamma) {
  return png_with(png, "gAMA", be(gamma, 4));
}

const std::vector<std::uint32_t> kSrgbChrm{31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000};
const std::vector<std::uint32_t> kP3Chrm{31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000};

FileBytes with_primaries(const FileBytes& png, const std::vector<std::uint32_t>& numbers) {
  std::string data;
  for (const std::uint32_t number : numbers) data += be(number, 4);
  return png_with(png, "cHRM", data);
}

// Where the text begins.
std::size_t place_of(const FileBytes& file, std::string_view text) {
  const auto found = std::ranges::search(file, bytes_from(text));
  REQUIRE(!found.empty());
  return std::size_t(found.begin() - file.begin());
}

void enlarge(FileBytes& file, std::size_t at, std::size_t by) {
  std::size_t number = by;
  for (std::size_t i = 0; i < 4; ++i) number += std::to_integer<std::size_t>(file[at + i]) << (8 * (3 - i));
  std::ranges::copy(bytes_from(be(number, 4)), file.begin() + std::ptrdiff_t(at));
}

std::string nclx(int primaries, int transfer) {
  return box("colr",
             "nclx" + be(std::uint64_t(primaries), 2) + be(std::uint64_t(transfer), 2) + be(6, 2) + be(0x80, 1));
}

// A block of one colour in a format of boxes, whose colours are these code points. libheif writes some of its own into
// an AVIF (1.15), and none into a HEIC.
FileBytes with_code_points(Format format, int primaries, int transfer) {
  FileBytes rgb;
  for (int i = 0; i < 16 * 16; ++i) append(rgb, {std::byte{200}, std::byte{100}, std::byte{50}});
  FileBytes file = encode(rgb, 16, 16, format, {});
  const FileBytes added = bytes_from(nclx(primaries, transfer));
  if (const auto old = std::ranges::search(file, bytes_from("colrnclx")); !old.empty()) {
    std::ranges::copy(bytes_from(nclx(primaries, transfer)), old.begin() - 4);
    return file;
  }
  // The pixels' place, and the sizes of the boxes around.
  const std::size_t pixels = place_of(file, "mdat") + 4;
  enlarge(file, place_of(file, be(pixels, 4)), added.size());
  for (const char* around : {"meta", "iprp", "ipco"}) enlarge(file, place_of(file, around) - 4, added.size());
  file.insert(file.begin() + std::ptrdiff_t(place_of(file, "ipma") - 4), added.begin(), added.end());
  return file;
}

// A picture's boxes without the picture: `properties`, and those (from 1 on) that item 7, the primary, has.
FileBytes boxes(const std::string& properties, const std::vector<int>& of_primary, bool wide, int version) {
  std::string associations = be(std::uint64_t(version) << 24 | (wide ? 1 : 0), 4) + be(2, 4);
  const auto item = [&](int id, const std::vector<int>& numbers) {
    associations += be(std::uint64_t(id), version == 0 ? 2 : 4) + be(numbers.size(), 1);
    for (const int number : numbers) associations += be(std::uint64_t(number) | (wide ? 0x8000 : 0x80), wide ? 2 : 1);
  };
  item(3, {1});
  item(7, of_primary);
  const std::string primary = be(0, 4) + be(7, 2);
  const std::string meta =
      be(0, 4) + box("pitm", primary) + box("iprp", box("ipco", properties) + box("ipma", associations));
  // What looks like a box in the pixels is none.
  return bytes_from(box("ftyp", "avif") + box("free", "colrnclx" + be(0, 9)) + box("meta", meta));
}

unsigned primaries_in(const FileBytes& file) {
  const auto found = heif_code_points(file);
  return found ? found->primaries : 0;
}

// Without its profile, which stands in a segment of its own.
FileBytes without_profile(FileBytes jpeg) {
  const FileBytes name = bytes_from("ICC_PROFILE");
  const auto found = std::ranges::search(jpeg, name).begin();
  REQUIRE(found != jpeg.end());
  const auto segment = found - 4;
  const int size = int(segment[2]) * 256 + int(segment[3]);
  jpeg.erase(segment, segment + 2 + size);
  return jpeg;
}

std::string value_of(const Metadata& metadata, std::string_view name) {
  for (const auto& [key, text] : metadata.exif.tags) {
    if (key == name) return text;
  }
  return "";
}

}  // namespace

TEST_CASE("a PNG's cICP, gAMA and cHRM give the pixels that a profile of the same colours gives") {
  const FileBytes plain = fixture_bytes("rgb.png");
  const FileBytes p3 = pixels_of(fixture_bytes("p3.png"));
  REQUIRE(distance(pixels_of(plain), p3) > 10);
  CHECK(distance(pixels_of(with_cicp(plain, 12, 4)), p3) <= 1);
  CHECK(distance(pixels_of(with_gamma(with_primaries(plain, kP3Chrm), 45455)), p3) <= 1);
  CHECK(distance(pixels_of(with_cicp(fixture_bytes("rgba.png"), 12, 4)), p3) <= 1);
  CHECK(distance(pixels_of(with_cicp(png_without(fixture_bytes("p3-16.png"), "iCCP"), 12, 4)), p3) <= 2);
  CHECK(distance(pixels_of(with_cicp(plain, 1, 4)), pixels_of(fixture_bytes("gamma22.png"))) <= 1);
}

TEST_CASE("a grey picture that says it is linear becomes as light as one with such a profile") {
  const FileBytes linear = pixels_of(fixture_bytes("grey-gamma1.png"));
  REQUIRE(distance(pixels_of(fixture_bytes("grey.png")), linear) > 10);
  for (const char* name : {"grey.png", "grey-alpha.png"}) {
    CAPTURE(name);
    CHECK(distance(pixels_of(with_gamma(fixture_bytes(name), 100'000)), linear) <= 1);
    CHECK(distance(pixels_of(with_cicp(fixture_bytes(name), 1, 8)), linear) <= 1);
  }
}

TEST_CASE("linear samples of 16 bits are as exact in the dark as in the light") {
  const FileBytes png = fixture_bytes("grey16.png");
  const Picture picture = decode(Decoder::from_bytes(with_gamma(png, 100'000), "it"));
  const Picture plain = decode(Decoder::from_bytes(png, "it"));
  for (int x = 0; x < 4; ++x) {
    for (int y = 0; y < 3; ++y) {
      // The low byte is 255 less the high one (make_fixtures.py).
      const int high = plain.at(x, y, 0);
      const double light = (high * 256 + 255 - high) / 65535.0;
      const double value = light <= 0.0031308 ? 12.92 * light : 1.055 * std::pow(light, 1 / 2.4) - 0.055;
      CHECK(std::abs(picture.at(x, y, 0) - 255 * value) <= 1);
    }
  }
}

TEST_CASE("a statement that means sRGB changes no byte") {
  const FileBytes plain = fixture_bytes("rgb.png");
  const FileBytes pixels = pixels_of(plain);
  for (const int transfer : {1, 2, 6, 13, 14, 15}) {
    CAPTURE(transfer);
    CHECK(pixels_of(with_cicp(plain, 1, transfer)) == pixels);
    CHECK(pixels_of(with_cicp(plain, 2, transfer)) == pixels);
  }
  CHECK(pixels_of(png_with(plain, "sRGB", std::string(1, '\0'))) == pixels);
  for (const std::uint32_t gamma : {45455, 45454, 45000, 45800}) {
    CHECK(pixels_of(with_gamma(plain, gamma)) == pixels);
    CHECK(pixels_of(with_gamma(with_primaries(plain, kSrgbChrm), gamma)) == pixels);
  }
  CHECK(pixels_of(with_primaries(plain, kSrgbChrm)) == pixels);
  const FileBytes jpeg = fixture_bytes("rgb.jpg");
  for (const unsigned space : {1U, 0xFFFFU}) {
    CHECK(pixels_of(jpeg_with_exif(jpeg, colour_exif(space, "R98"))) == pixels_of(jpeg));
    CHECK(pixels_of(jpeg_with_exif(jpeg, colour_exif(space, ""))) == pixels_of(jpeg));
  }
}

TEST_CASE("of a PNG's statements cICP goes before a profile, that before sRGB, and that before gAMA and cHRM") {
  const FileBytes plain = fixture_bytes("rgb.png");
  const FileBytes p3 = fixture_bytes("p3.png");
  CHECK(pixels_of(with_cicp(p3, 1, 13)) == pixels_of(plain));
  CHECK(pixels_of(with_cicp(p3, 2, 2)) == pixels_of(p3));
  CHECK(pixels_of(with_gamma(p3, 100'000)) == pixels_of(p3));
  CHECK(pixels_of(with_gamma(png_with(plain, "sRGB", std::string(1, '\0')), 100'000)) == pixels_of(plain));
  CHECK(pixels_of(with_gamma(with_cicp(plain, 1, 13), 100'000)) == pixels_of(plain));
  // A broken profile is none.
  const FileBytes linear = pixels_of(with_gamma(plain, 100'000));
  CHECK(linear != pixels_of(plain));
  CHECK(pixels_of(with_gamma(fixture_bytes("broken-profile-2.png"), 100'000)) == linear);
}

TEST_CASE("numbers of which no colours can be made are no statement") {
  const FileBytes plain = fixture_bytes("rgb.png");
  const auto says = [](const FileBytes& png) { return colour_statement(Format::png, png, {}).says_something(); };
  CHECK(says(with_gamma(plain, 100'000)));
  CHECK_FALSE(says(with_gamma(plain, 0)));
  CHECK_FALSE(says(with_gamma(plain, 0xFFFF'FFFF)));
  CHECK_FALSE(says(png_with(plain, "gAMA", be(100'000, 3))));
  CHECK_FALSE(says(with_cicp(plain, 12, 13, 1)));
  CHECK_FALSE(says(with_primaries(plain, std::vector<std::uint32_t>(8, 0))));
  CHECK_FALSE(says(with_primaries(plain, std::vector<std::uint32_t>(8, 33333))));
  CHECK_FALSE(says(with_primaries(plain, {90000, 5000, 64000, 33000, 30000, 60000, 15000, 6000})));
  CHECK_FALSE(says(with_primaries(plain, {31270, 32900, 500'000, 33000, 30000, 60000, 15000, 6000})));
  FileBytes damaged = with_gamma(plain, 100'000);
  damaged[8 + 12 + 13 + 8 + 3] ^= std::byte{1};
  CHECK_FALSE(says(damaged));
}

TEST_CASE("AVIF and HEIC are converted by their code points, and by the right ones") {
  for (const Format format : {Format::avif, Format::heic}) {
    CAPTURE(name(format));
    const FileBytes srgb = pixels_of(with_code_points(format, 1, 13));
    const auto stored = [&](int channel) { return int(srgb[std::size_t(channel)]); };
    for (const auto& [primaries, transfer] : {std::pair{1, 1}, {2, 2}, {1, 6}, {1, 14}, {1, 15}, {2, 13}}) {
      CHECK(pixels_of(with_code_points(format, primaries, transfer)) == srgb);
    }
    // In Display P3 the same numbers are a stronger red: the sample of sRGB is further up.
    const FileBytes p3 = pixels_of(with_code_points(format, 12, 13));
    CHECK(int(p3[0]) > stored(0) + 5);
    CHECK(int(p3[2]) < stored(2));
    // Rec. 2020 is wider still.
    CHECK(int(pixels_of(with_code_points(format, 9, 14))[0]) > int(p3[0]));
    for (const int primaries : {5, 6}) {
      CHECK(pixels_of(with_code_points(format, primaries, 13)) != srgb);
      CHECK(distance(pixels_of(with_code_points(format, primaries, 13)), srgb) < 12);
    }
    CHECK(pixels_of(with_code_points(format, 11, 13)) != p3);
    // 100 of 255 are linearly much lighter, and by 2.8 darker.
    CHECK(std::abs(int(pixels_of(with_code_points(format, 1, 8))[1]) - 169) <= 6);
    CHECK(int(pixels_of(with_code_points(format, 1, 5))[1]) < stored(1) - 15);
  }
}

TEST_CASE("HDR and unknown code points are refused by name") {
  const auto refused = [](const FileBytes& file, std::string_view why) {
    const std::string error = decode_error(file);
    CAPTURE(error);
    CHECK(error.find(why) != std::string::npos);
    CHECK(error.find("first") != std::string::npos);
  };
  const FileBytes plain = fixture_bytes("rgb.png");
  refused(with_cicp(plain, 9, 16), "HDR picture (PQ, transfer characteristics 16)");
  refused(with_cicp(plain, 9, 18), "HDR picture (HLG, transfer characteristics 18)");
  refused(with_cicp(fixture_bytes("p3.png"), 9, 16), "HDR");
  refused(with_cicp(plain, 1, 9), "transfer characteristics 9");
  refused(with_cicp(plain, 10, 13), "colour primaries 10");
  refused(with_cicp(plain, 99, 13), "colour primaries 99");
  refused(with_cicp(plain, 1, 13, 0, 0), "full range");
  refused(with_code_points(Format::avif, 9, 16), "HDR picture (PQ");
  refused(with_code_points(Format::heic, 9, 18), "HDR picture (HLG");
  refused(with_code_points(Format::avif, 3, 1), "colour primaries 3");
}

TEST_CASE("the code points are those of the primary item, else the first, and never those of compressed pixels") {
  const std::string properties = nclx(9, 16) + box("ispe", be(0, 12)) + nclx(12, 13);
  for (const bool wide : {true, false}) {
    for (const int version : {0, 1}) {
      CHECK(primaries_in(boxes(properties, {2, 3}, wide, version)) == 12);
      CHECK(primaries_in(boxes(properties, {2}, wide, version)) == 9);
      CHECK(primaries_in(boxes(properties, {0, 99, 3}, wide, version)) == 12);
    }
  }
  CHECK(primaries_in(boxes(box("colr", "prof" + be(0, 20)), {1}, false, 0)) == 0);
  CHECK(primaries_in(boxes(box("colr", "nclx" + be(1, 2)), {1}, false, 0)) == 0);
}

TEST_CASE("Adobe RGB that only EXIF tells is converted, as with the profile") {
  const FileBytes expected = pixels_of(fixture_bytes("adobergb.jpg"));
  const FileBytes bare = without_profile(fixture_bytes("adobergb.jpg"));
  REQUIRE(distance(pixels_of(bare), expected) > 10);
  for (const bool little : {true, false}) {
    CHECK(distance(pixels_of(jpeg_with_exif(bare, colour_exif(0xFFFF, "R03", little))), expected) <= 1);
    CHECK(distance(pixels_of(jpeg_with_exif(bare, colour_exif(2, "", little))), expected) <= 1);
    // What the profile says goes before it.
    const FileBytes p3 = jpeg_with_exif(fixture_bytes("adobergb.jpg"), colour_exif(1, "R98", little));
    CHECK(pixels_of(p3) == expected);
  }
  CHECK(pixels_of(jpeg_with_exif(bare, colour_exif(1, "R03"))) == pixels_of(bare));
  // A broken profile is none.
  FileBytes broken = fixture_bytes("adobergb.jpg");
  const std::size_t tags = place_of(broken, "rXYZ");
  std::fill_n(broken.begin() + std::ptrdiff_t(tags), 100, std::byte{0xFF});
  CHECK(pixels_of(broken) == pixels_of(bare));
  CHECK(distance(pixels_of(jpeg_with_exif(broken, colour_exif(2, ""))), expected) <= 1);
}

TEST_CASE("Adobe RGB by EXIF is known in the other formats that have it") {
  const auto red = [](const FileBytes& file) { return decode(Decoder::from_bytes(file, "it")).at(0, 0, 0); };
  for (const bool big : {true, false}) {
    TiffMaker tiff(!big, big);
    const std::uint64_t index = tiff.directory({TiffMaker::text(1, "R03")});
    const std::uint64_t exif = tiff.directory({{0xA001, 3, {0xFFFF}}, TiffMaker::number(0xA005, index)});
    auto picture = tiff.picture(8, 200, 100, 50);
    picture.push_back(TiffMaker::number(0x8769, exif));
    CHECK(red(tiff.finish(tiff.directory(picture))) > 215);
  }
  const FileBytes block = colour_exif(0xFFFF, "R03");
  CHECK(colour_statement(Format::heic, {}, block).space.has_value());
  CHECK(colour_statement(Format::webp, {}, block).space.has_value());
  // PNG has chunks for it.
  CHECK_FALSE(colour_statement(Format::png, fixture_bytes("rgb.png"), block).says_something());
  // What the boxes say goes before EXIF; what they leave open does not.
  CHECK(is_srgb(*colour_statement(Format::avif, boxes(nclx(1, 13), {1}, false, 0), block).space));
  CHECK_FALSE(is_srgb(*colour_statement(Format::avif, boxes(nclx(2, 2), {1}, false, 0), block).space));
}

TEST_CASE("a picture made of one in Adobe RGB does not say that it is in Adobe RGB") {
  const FileBytes rgb(3, std::byte{90});
  for (const bool little : {true, false}) {
    for (const unsigned space : {2U, 0xFFFFU}) {
      const FileBytes jpeg = jpeg_with_exif(fixture_bytes("rgb.jpg"), colour_exif(space, "R03", little));
      const Decoder input = Decoder::from_bytes(jpeg, "it");
      CHECK_FALSE(exif_says_adobe_rgb(input.metadata().exif.block));
      for (const Format format : {Format::jpeg, Format::png, Format::webp, Format::avif, Format::heic}) {
        CAPTURE(name(format));
        const Decoder back = Decoder::from_bytes(encode(rgb, 1, 1, format, {.metadata = input.metadata()}), "it");
        CHECK(value_of(back.metadata(), "exif-ifd0-Make").starts_with("Maker"));
        CHECK(value_of(back.metadata(), "exif-ifd2-ColorSpace") == "1");
        CHECK_FALSE(exif_says_adobe_rgb(back.metadata().exif.block));
      }
      const FileBytes again = encode(rgb, 1, 1, Format::webp, {.metadata = input.metadata()});
      CHECK(std::ranges::search(again, bytes_from("R03")).empty());
      CHECK(!std::ranges::search(again, bytes_from("R98")).empty());
    }
  }
}

TEST_CASE("whatever the bytes are, statements of colour are read within them") {
  const FileBytes png = with_gamma(with_primaries(with_cicp(fixture_bytes("rgb.png"), 12, 13), kP3Chrm), 100'000);
  const FileBytes avif = boxes(nclx(9, 16) + nclx(12, 13), {2}, true, 1);
  const FileBytes exif = colour_exif(0xFFFF, "R03");
  std::mt19937 random(1);
  for (const auto& [format, whole] : {std::pair{Format::png, png}, {Format::avif, avif}, {Format::tiff, exif}}) {
    const auto read = [&](const FileBytes& bytes) {
      colour_statement(format, bytes, {});
      if (format == Format::avif) heif_sequence_length(bytes);
    };
    for (std::size_t size = 0; size <= whole.size(); ++size) {
      FileBytes cut(whole.begin(), whole.begin() + std::ptrdiff_t(size));
      cut.shrink_to_fit();
      read(cut);
    }
    for (int i = 0; i < 20'000; ++i) {
      FileBytes bad = whole;
      for (int n = 0; n < 4; ++n) bad[random() % bad.size()] = std::byte(random());
      read(bad);
    }
  }
}
