// Pictures that must decode to the right pixels. The numbers in expected.inc come from Pillow 11.1 (make_fixtures.py).
#include <doctest/doctest.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <set>

#include "base/error.hpp"
#include "image/fixtures.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;
using namespace step1x::image;
using namespace step1x::test;

namespace step1x::test {

std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(STEP1X_FIXTURES) / name;
}

std::vector<std::byte> fixture_bytes(const std::string& name) {
  const std::string content = read_file(fixture(name));
  const auto bytes = std::as_bytes(std::span(content));
  return {bytes.begin(), bytes.end()};
}

Picture decode(Decoder decoder) {
  Picture picture{decoder.width(), decoder.height(), {}};
  picture.rgb.resize(std::size_t(picture.width) * std::size_t(picture.height) * 3);
  decoder.read(picture.rgb);
  return picture;
}

namespace {

std::string error_of(const std::string& name, const std::function<Decoder()>& open) {
  try {
    decode(open());
  } catch (const Error& error) {
    const std::string text = error.what();
    CHECK(error.code() == ErrorCode::bad_image);
    CHECK(text.find('\n') == std::string::npos);
    CHECK(text.starts_with("cannot read " + name + ": "));
    return text;
  }
  return "";
}

}  // namespace

std::string decode_error(std::vector<std::byte> bytes, const Limits& limits) {
  return error_of("the picture", [&] { return Decoder::from_bytes(std::move(bytes), "the picture", limits); });
}

std::string file_error(const std::filesystem::path& path, const Limits& limits) {
  return error_of(path.string(), [&] { return Decoder::from_file(path, limits); });
}

}  // namespace step1x::test

namespace {

struct Point {
  int x, y, r, g, b;
};

struct Expected {
  std::string name;
  int width;
  int height;
  int tolerance;
  std::vector<Point> points;
};

const std::vector<Expected> kExpected{
#include "image/expected.inc"
};

}  // namespace

TEST_CASE("every fixture decodes to the pixels that Pillow finds") {
  REQUIRE(kExpected.size() >= 50);
  for (const Expected& expected : kExpected) {
    CAPTURE(expected.name);
    const Picture picture = decode(Decoder::from_file(fixture(expected.name)));
    CHECK(picture.width == expected.width);
    CHECK(picture.height == expected.height);
    if (picture.width != expected.width || picture.height != expected.height) continue;
    CHECK(expected.points.size() >= 1);
    for (const Point& p : expected.points) {
      INFO("(" << p.x << ", " << p.y << "): " << picture.at(p.x, p.y, 0) << " " << picture.at(p.x, p.y, 1) << " "
               << picture.at(p.x, p.y, 2) << " expected " << p.r << " " << p.g << " " << p.b);
      CHECK(std::abs(picture.at(p.x, p.y, 0) - p.r) <= expected.tolerance);
      CHECK(std::abs(picture.at(p.x, p.y, 1) - p.g) <= expected.tolerance);
      CHECK(std::abs(picture.at(p.x, p.y, 2) - p.b) <= expected.tolerance);
    }
  }
}

TEST_CASE("the width and height are known, upright, before the pixels are decoded") {
  const Decoder lying = Decoder::from_file(fixture("exif-6.jpg"));
  CHECK(lying.width() == 24);
  CHECK(lying.height() == 32);
  const Decoder upright = Decoder::from_file(fixture("exif-1.jpg"));
  CHECK(upright.width() == 32);
  CHECK(upright.height() == 24);
}

TEST_CASE("a profile changes the colours: the tests of converted pixels can fail") {
  const Picture with = decode(Decoder::from_file(fixture("p3.png")));
  const Picture without = decode(Decoder::from_file(fixture("rgb.png")));
  CHECK(std::abs(with.at(1, 0, 1) - without.at(1, 0, 1)) + std::abs(with.at(1, 0, 0) - without.at(1, 0, 0)) > 10);
}

TEST_CASE("a picture from bytes is the picture from the file") {
  CHECK(decode(Decoder::from_bytes(fixture_bytes("rgb.jpg"), "standard input")).rgb ==
        decode(Decoder::from_file(fixture("rgb.jpg"))).rgb);
}

TEST_CASE("a decoder gives its pixels once, into a buffer of the right size") {
  Decoder decoder = Decoder::from_file(fixture("rgb.png"));
  std::vector<std::byte> rgb(4 * 3 * 3 - 1);
  CHECK_THROWS_AS(decoder.read(rgb), Error);
  rgb.resize(4 * 3 * 3);
  decoder.read(rgb);
  CHECK_THROWS_AS(decoder.read(rgb), Error);
}

TEST_CASE("a decoder outlives the one it was moved from") {
  Decoder first = Decoder::from_file(fixture("rgb.png"));
  const Decoder second = std::move(first);
  CHECK(second.width() == 4);
}
