// Resizes 8-bit RGB pictures exactly as Pillow does, byte for byte, because the models were trained and are compared on
// its output. Not a general scaler: three channels, whole picture, two filters. The source is
// https://github.com/python-pillow/Pillow/blob/4c1aed801e43/src/libImaging/Resample.c
//
// Pure functions. Pictures are rows of width * 3 bytes without padding, top row first.
// Errors: Error(bad_image) for a size that cannot be worked with.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace step1x {

struct RgbView {
  int width = 0;
  int height = 0;
  std::span<const std::uint8_t> bytes;  // height * width * 3
};

struct PictureSize {
  int width = 0;
  int height = 0;
  bool operator==(const PictureSize&) const = default;
};

enum class ResizeFilter { bicubic, lanczos };

// Rows and columns are resized one after the other, with rounding in between, so that the order shows: by up to two
// levels.
enum class ResizeOrder {
  rows_first,  // Pillow 11, which the native code runs with
  // Pillow 13, which the diffusers pipelines were recorded with: columns first where the height shrinks by more than
  // twice what the width does (found by comparing 4,000 pictures with it).
  cheaper_first,
};

// (height, width, 3) -> (size.height, size.width, 3)
std::vector<std::uint8_t> resize(RgbView picture, PictureSize size, ResizeFilter filter,
                                 ResizeOrder order = ResizeOrder::rows_first);

// The size at which a picture is edited: the same shape at an area of about size_level * size_level, both sides
// multiples of `multiple` (16 with the released models). Refuses shapes so long that a side would come to nothing.
PictureSize edit_size(PictureSize picture, int size_level, int multiple);

}  // namespace step1x
