// The last step from a decoder's rows to the pixels of step1x: 8-bit RGB, no alpha, upright. Pure functions, any
// thread.
//
// What is done where no ICC profile says otherwise is what Pillow's convert("RGB") does, because the reference
// pipelines start from that: alpha is dropped (not blended), CMYK is R = (255-C)(255-K)/255 rounded, grey is repeated.
// 16-bit samples become 8-bit by their high byte.
// https://github.com/python-pillow/Pillow/blob/fae06539be2b/src/libImaging/Convert.c
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace step1x::image {

// How the samples of a decoded pixel are to be read.
struct PixelLayout {
  enum class Model { grey, rgb, cmyk };
  Model model = Model::rgb;
  int bands = 3;         // samples per pixel, those after the model's own ignored: at least 1, 3 or 4
  int sample_bytes = 1;  // 1, or 2 in native byte order

  std::ptrdiff_t pixel_bytes() const { return std::ptrdiff_t{bands} * sample_bytes; }
};

// Turns the stored picture upright. `exif` is the EXIF Orientation, 1 to 8 (CIPA DC-008, tag 0x0112).
class Upright {
 public:
  Upright(int exif, int stored_width, int stored_height);

  int width() const { return width_; }
  int height() const { return height_; }
  // True when a stored row becomes a column.
  bool transposed() const { return transposed_; }
  // Where stored pixel (x, y) goes, in pixels from the upright picture's first: origin + x * dx + y * dy.
  std::ptrdiff_t origin = 0;
  std::ptrdiff_t dx = 1;
  std::ptrdiff_t dy = 0;

 private:
  bool transposed_;
  int width_;
  int height_;
};

// Converts `count` stored pixels, `from_step` bytes apart, and writes them `to_step` pixels apart, the first at `to`.
void convert_pixels(const std::byte* from, std::ptrdiff_t from_step, PixelLayout layout, int count, std::uint8_t* to,
                    std::ptrdiff_t to_step);

}  // namespace step1x::image
