#include "measures.hpp"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/avg_pool2d.h>
#include <fmt/format.h>

#include <cmath>
#include <numbers>

namespace step1x::test {

namespace {

using demo::Edit;

double value(const at::Tensor& scalar) {
  return scalar.item<double>();
}

double mean_square(const at::Tensor& a, const at::Tensor& b) {
  return value((a - b).square().mean());
}

double correlation(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.flatten() - a.mean();
  const at::Tensor y = b.flatten() - b.mean();
  return value((x * y).sum()) / std::sqrt(value(x.square().sum()) * value(y.square().sum()) + 1e-12);
}

double chroma(const at::Tensor& x) {
  return value((x.amax(1) - x.amin(1)).mean());
}

// Of the mean colour, in degrees.
double hue(const at::Tensor& x) {
  const at::Tensor mean = x.mean({0, 2, 3});
  const double r = value(mean[0]);
  const double g = value(mean[1]);
  const double b = value(mean[2]);
  return std::atan2(std::sqrt(3.0) * (g - b), 2 * r - g - b) * 180 / std::numbers::pi;
}

double hue_distance(const at::Tensor& a, const at::Tensor& b) {
  const double difference = std::fabs(hue(a) - hue(b));
  return std::min(difference, 360 - difference);
}

// What is finer than eight pixels.
double detail(const at::Tensor& x) {
  const at::Tensor grey = demo::luminance(x);
  return value((grey - at::avg_pool2d(grey, {9, 9}, {1, 1}, {4, 4}, false, false)).square().mean());
}

// How much of the true change of a figure was made.
Verdict share_of_change(double before, double after, double truth, const char* what) {
  const double share = (after - before) / (truth - before);
  return {share >= 0.5, fmt::format("{} {:.3f} -> {:.3f}, truth {:.3f}", what, before, after, truth)};
}

Verdict of_edit(Edit edit, const at::Tensor& source, const at::Tensor& result, const at::Tensor& truth) {
  switch (edit) {
    case Edit::none:
      return {psnr(source, result) >= 20, fmt::format("{:.1f} dB from the source", psnr(source, result))};
    case Edit::black_and_white: {
      const double fall = 1 - chroma(result) / chroma(source);
      return {fall >= 0.7, fmt::format("saturation falls by {:.0f} %", fall * 100)};
    }
    case Edit::brighter:
    case Edit::darker:
      return share_of_change(value(demo::luminance(source).mean()), value(demo::luminance(result).mean()),
                             value(demo::luminance(truth).mean()), "luminance");
    case Edit::invert: {
      const double r = correlation(result, truth);
      return {r >= 0.6, fmt::format("correlation {:.2f}", r)};
    }
    case Edit::contrast:
      return share_of_change(value(demo::luminance(source).std()), value(demo::luminance(result).std()),
                             value(demo::luminance(truth).std()), "deviation");
    case Edit::blur:
      return share_of_change(detail(source), detail(result), detail(truth), "detail");
    case Edit::pixelate: {
      const double before = mean_square(source, truth);
      const double after = mean_square(result, truth);
      return {after < before, fmt::format("squared error {:.4f}, of the source {:.4f}", after, before)};
    }
    default: {
      const double degrees = hue_distance(result, truth);
      const double strength = chroma(result) / chroma(truth);
      return {degrees <= 40 && strength >= 0.5,
              fmt::format("hue {:.0f} degrees off, {:.2f} of the strength", degrees, strength)};
    }
  }
}

}  // namespace

double psnr(const at::Tensor& a, const at::Tensor& b) {
  return -10 * std::log10(mean_square(a, b) + 1e-12);
}

double mean_colour_error(const at::Tensor& a, const at::Tensor& b) {
  return value((a.mean({0, 2, 3}) - b.mean({0, 2, 3})).abs().max());
}

Verdict judge(Edit edit, const at::Tensor& source, const at::Tensor& result, const at::Tensor& truth) {
  Verdict verdict = of_edit(edit, source, result, truth);
  const auto small = [](const at::Tensor& x) { return at::adaptive_avg_pool2d(demo::luminance(x), {64, 64}); };
  const double structure = correlation(small(result), small(truth));
  verdict.passed = verdict.passed && structure >= 0.7;
  verdict.why += fmt::format(", structure {:.2f}", structure);
  return verdict;
}

}  // namespace step1x::test
