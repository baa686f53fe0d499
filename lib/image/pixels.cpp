#include "image/pixels.hpp"

#include <cstring>

namespace step1x::image {
namespace {

template <typename Sample>
std::uint8_t sample(const std::byte* at, int band) {
  Sample value;
  std::memcpy(&value, at + static_cast<std::size_t>(band) * sizeof value, sizeof value);
  return static_cast<std::uint8_t>(value >> (8 * (sizeof value - 1)));
}

// round(a * b / 255) without a division, exact for all 8-bit a and b.
std::uint8_t multiply(int a, int b) {
  const int t = a * b + 128;
  return static_cast<std::uint8_t>(((t >> 8) + t) >> 8);
}

template <typename Sample, PixelLayout::Model kModel>
void convert(const std::byte* from, std::ptrdiff_t from_step, int count, std::uint8_t* to, std::ptrdiff_t to_step) {
  for (int i = 0; i < count; ++i, from += from_step, to += 3 * to_step) {
    if constexpr (kModel == PixelLayout::Model::grey) {
      to[0] = to[1] = to[2] = sample<Sample>(from, 0);
    } else if constexpr (kModel == PixelLayout::Model::rgb) {
      for (int c = 0; c < 3; ++c) to[c] = sample<Sample>(from, c);
    } else {
      const int light = 255 - sample<Sample>(from, 3);
      for (int c = 0; c < 3; ++c) to[c] = multiply(255 - sample<Sample>(from, c), light);
    }
  }
}

template <typename Sample>
void convert(const std::byte* from, std::ptrdiff_t from_step, PixelLayout::Model model, int count, std::uint8_t* to,
             std::ptrdiff_t to_step) {
  using Model = PixelLayout::Model;
  switch (model) {
    case Model::grey:
      return convert<Sample, Model::grey>(from, from_step, count, to, to_step);
    case Model::rgb:
      return convert<Sample, Model::rgb>(from, from_step, count, to, to_step);
    case Model::cmyk:
      return convert<Sample, Model::cmyk>(from, from_step, count, to, to_step);
  }
}

}  // namespace

Upright::Upright(int exif, int stored_width, int stored_height)
    : transposed_(exif >= 5 && exif <= 8), width_(stored_width), height_(stored_height) {
  if (transposed_) {
    width_ = stored_height;
    height_ = stored_width;
  }
  // Stored x runs along upright x (or y if transposed), forwards or backwards; stored y along the other.
  const bool x_back = exif == 2 || exif == 3 || exif == 7 || exif == 8;
  const bool y_back = exif == 3 || exif == 4 || exif == 6 || exif == 7;
  const std::ptrdiff_t row = width_;
  dx = transposed_ ? row : 1;
  dy = transposed_ ? 1 : row;
  if (x_back) {
    origin += (stored_width - 1) * dx;
    dx = -dx;
  }
  if (y_back) {
    origin += (stored_height - 1) * dy;
    dy = -dy;
  }
}

void convert_pixels(const std::byte* from, std::ptrdiff_t from_step, PixelLayout layout, int count, std::uint8_t* to,
                    std::ptrdiff_t to_step) {
  if (layout.model == PixelLayout::Model::rgb && layout.sample_bytes == 1 && from_step == 3 && to_step == 1) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * 3);
  } else if (layout.sample_bytes == 1) {
    convert<std::uint8_t>(from, from_step, layout.model, count, to, to_step);
  } else {
    convert<std::uint16_t>(from, from_step, layout.model, count, to, to_step);
  }
}

}  // namespace step1x::image
