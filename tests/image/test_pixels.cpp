#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <vector>

#include "image/pixels.hpp"

using namespace step1x::image;

namespace {

using Model = PixelLayout::Model;

template <typename Sample>
std::array<int, 3> convert(std::vector<Sample> samples, PixelLayout layout) {
  std::array<std::uint8_t, 3> to{};
  convert_pixels(reinterpret_cast<const std::byte*>(samples.data()), layout.pixel_bytes(), layout, 1, to.data(), 1);
  return {to[0], to[1], to[2]};
}

// The numbers of a stored 3x2 picture, upright.
std::vector<int> upright(int exif) {
  const Upright u(exif, 3, 2);
  std::vector<int> out(6, -1);
  for (int y = 0; y < 2; ++y) {
    for (int x = 0; x < 3; ++x) out.at(std::size_t(u.origin + x * u.dx + y * u.dy)) = y * 3 + x;
  }
  return out;
}

}  // namespace

TEST_CASE("each kind of sample becomes 8-bit RGB") {
  CHECK(convert<std::uint8_t>({1, 2, 3}, {Model::rgb, 3, 1}) == std::array{1, 2, 3});
  CHECK(convert<std::uint8_t>({1, 2, 3, 0}, {Model::rgb, 4, 1}) == std::array{1, 2, 3});
  CHECK(convert<std::uint16_t>({0x12ff, 0x3400, 0xffff}, {Model::rgb, 3, 2}) == std::array{0x12, 0x34, 0xff});
  CHECK(convert<std::uint8_t>({7, 99}, {Model::grey, 2, 1}) == std::array{7, 7, 7});
  CHECK(convert<std::uint16_t>({0x80ff}, {Model::grey, 1, 2}) == std::array{0x80, 0x80, 0x80});
  CHECK(convert<std::uint8_t>({0, 255, 100, 0}, {Model::cmyk, 4, 1}) == std::array{255, 0, 155});
  CHECK(convert<std::uint8_t>({0, 55, 0, 128}, {Model::cmyk, 4, 1}) == std::array{127, 100, 127});
}

TEST_CASE("the eight EXIF orientations of the picture 012/345") {
  CHECK(upright(1) == std::vector{0, 1, 2, 3, 4, 5});
  CHECK(upright(2) == std::vector{2, 1, 0, 5, 4, 3});
  CHECK(upright(3) == std::vector{5, 4, 3, 2, 1, 0});
  CHECK(upright(4) == std::vector{3, 4, 5, 0, 1, 2});
  CHECK(upright(5) == std::vector{0, 3, 1, 4, 2, 5});
  CHECK(upright(6) == std::vector{3, 0, 4, 1, 5, 2});
  CHECK(upright(7) == std::vector{5, 2, 4, 1, 3, 0});
  CHECK(upright(8) == std::vector{2, 5, 1, 4, 0, 3});
  CHECK(Upright(6, 3, 2).transposed());
  CHECK(!Upright(3, 3, 2).transposed());
  CHECK(Upright(6, 3, 2).width() == 2);
  CHECK(Upright(6, 3, 2).height() == 3);
}

TEST_CASE("rows are written in the direction that the step says") {
  const std::array<std::uint8_t, 6> from{1, 2, 3, 4, 5, 6};
  std::array<std::uint8_t, 6> to{};
  convert_pixels(reinterpret_cast<const std::byte*>(from.data()), 3, {Model::rgb, 3, 1}, 2, to.data() + 3, -1);
  CHECK(to == std::array<std::uint8_t, 6>{4, 5, 6, 1, 2, 3});
}
