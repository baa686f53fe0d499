// How an edit that came out is judged against the true one. Pictures are (1, 3, h, w), float32 in [0, 1]. Pure
// functions, any thread.
#pragma once

#include <string>

#include "demo/edits.hpp"

namespace step1x::test {

struct Verdict {
  bool passed = false;
  std::string why;  // the figures
};

// `source` is what was edited, `result` what came out, `truth` what apply() makes of the source.
Verdict judge(demo::Edit edit, const at::Tensor& source, const at::Tensor& result, const at::Tensor& truth);

// Peak signal to noise ratio in dB, for a peak of 1.
double psnr(const at::Tensor& a, const at::Tensor& b);
// The largest difference of a channel's mean.
double mean_colour_error(const at::Tensor& a, const at::Tensor& b);

}  // namespace step1x::test
