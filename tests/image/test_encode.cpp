#include <doctest/doctest.h>

#include <cmath>

#include "base/error.hpp"
#include "image/encode.hpp"
#include "image/fixtures.hpp"

using namespace step1x;
using namespace step1x::image;
using namespace step1x::test;

namespace {

// Smooth colours with one sharp edge, different in every channel.
std::vector<std::byte> picture(int width, int height) {
  std::vector<std::byte> rgb;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      rgb.push_back(std::byte(x * 255 / width));
      rgb.push_back(std::byte(y * 255 / height));
      rgb.push_back(std::byte(x < width / 2 ? 40 : 210));
    }
  }
  return rgb;
}

double mean_error(const std::vector<std::byte>& a, const std::vector<std::byte>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::abs(int(a[i]) - int(b[i]));
  return sum / double(a.size());
}

}  // namespace

TEST_CASE("each format comes back as the same picture, and the same pixels give the same bytes") {
  const std::vector<std::byte> rgb = picture(120, 77);
  for (const Format format : kFormats) {
    CAPTURE(name(format));
    const std::vector<std::byte> file = encode(rgb, 120, 77, format);
    CHECK(file == encode(rgb, 120, 77, format));
    const auto content = format_from_content(file);
    CHECK(content == format);
    const Picture back = decode(Decoder::from_bytes(file, "it"));
    CHECK(back.width == 120);
    CHECK(back.height == 77);
    REQUIRE(back.rgb.size() == rgb.size());
    const double error = mean_error(back.rgb, rgb);
    CAPTURE(error);
    if (format == Format::png || format == Format::tiff) {
      CHECK(back.rgb == rgb);
    } else {
      CHECK(error < (format == Format::gif ? 8 : 2));
    }
  }
}

TEST_CASE("quality changes the size") {
  const std::vector<std::byte> rgb = picture(120, 77);
  for (const Format format : {Format::jpeg, Format::webp, Format::avif}) {
    CAPTURE(name(format));
    CHECK(encode(rgb, 120, 77, format, {.quality = 30}).size() < encode(rgb, 120, 77, format).size());
  }
}

TEST_CASE("one pixel can be written in each format") {
  const std::vector<std::byte> rgb{std::byte{10}, std::byte{200}, std::byte{90}};
  for (const Format format : kFormats) {
    CAPTURE(name(format));
    const Picture back = decode(Decoder::from_bytes(encode(rgb, 1, 1, format), "it"));
    CHECK(back.width == 1);
    CHECK(mean_error(back.rgb, rgb) < 4);
  }
}

TEST_CASE("what a format cannot hold is one line with the size and the format") {
  const std::vector<std::byte> rgb(std::size_t{20'000} * 3);
  try {
    encode(rgb, 20'000, 1, Format::webp);
    FAIL("encoded");
  } catch (const Error& error) {
    const std::string text = error.what();
    INFO(text);
    CHECK(text.starts_with("cannot encode 20000x1 pixels as WebP: "));
    CHECK(text.find('\n') == std::string::npos);
  }
  CHECK_THROWS_AS(encode(rgb, 20'000, 2, Format::png), Error);
  CHECK_THROWS_AS(encode({}, 0, 0, Format::png), Error);
}
