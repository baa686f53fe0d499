// The edits that the demo model is taught, and what each does to a picture: the truth that training aims at and that
// results are judged by. Pure functions, any thread.
#pragma once

#include <array>
#include <string_view>

#include "nn/aten.hpp"

namespace step1x::demo {

enum class Edit {
  none,  // what an edit that the model does not know comes to
  black_and_white,
  brighter,
  darker,
  invert,
  red,
  green,
  blue,
  yellow,
  purple,
  orange,
  sepia,
  contrast,
  blur,
  pixelate,
};
inline constexpr std::array kEdits{Edit::none,   Edit::black_and_white, Edit::brighter, Edit::darker, Edit::invert,
                                   Edit::red,    Edit::green,           Edit::blue,     Edit::yellow, Edit::purple,
                                   Edit::orange, Edit::sepia,           Edit::contrast, Edit::blur,   Edit::pixelate};

// "black and white"
std::string_view name(Edit edit);
bool is_tint(Edit edit);

// Luma of ITU-R BT.601. (batch, 3, h, w) -> (batch, 1, h, w)
at::Tensor luminance(const at::Tensor& x);

// x: (batch, 3, h, w) in [0, 1] -> the same. Blur and pixelate work in pixels, so that x is at the model's size.
at::Tensor apply(Edit edit, const at::Tensor& x);

}  // namespace step1x::demo
