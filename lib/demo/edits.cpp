#include "demo/edits.hpp"

#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/reflection_pad2d.h>

#include <cmath>
#include <vector>

namespace step1x::demo {

namespace {

constexpr std::array<std::string_view, kEdits.size()> kNames{
    "none",   "black and white", "brighter", "darker", "invert",   "red",  "green",   "blue",
    "yellow", "purple",          "orange",   "sepia",  "contrast", "blur", "pixelate"};

// What the brightest grey becomes.
constexpr std::array<std::array<double, 3>, 6> kTints{
    {{1.0, 0.25, 0.2}, {0.25, 0.95, 0.3}, {0.25, 0.4, 1.0}, {1.0, 0.95, 0.2}, {0.8, 0.3, 1.0}, {1.0, 0.6, 0.15}}};
// Of the picture's own colours, how much a tint leaves.
constexpr double kOwnColour = 0.25;

constexpr std::array<std::array<double, 3>, 3> kSepiaMatrix{
    {{0.393, 0.769, 0.189}, {0.349, 0.686, 0.168}, {0.272, 0.534, 0.131}}};

constexpr int kBlurRadius = 8;
constexpr double kBlurDeviation = 3;
constexpr std::int64_t kBlock = 8;

at::Tensor colour(const std::array<double, 3>& values, const at::Tensor& like) {
  return at::tensor(std::vector<double>(values.begin(), values.end()), at::kDouble)
      .to(like.options())
      .view({1, 3, 1, 1});
}

at::Tensor tint(const at::Tensor& x, const std::array<double, 3>& tone) {
  return x * kOwnColour + luminance(x) * colour(tone, x) * (1 - kOwnColour);
}

at::Tensor sepia(const at::Tensor& x) {
  std::vector<at::Tensor> channels;
  channels.reserve(kSepiaMatrix.size());
  for (const std::array<double, 3>& row : kSepiaMatrix) channels.push_back((x * colour(row, x)).sum(1, true));
  return at::cat(channels, 1);
}

at::Tensor blur(const at::Tensor& x) {
  std::vector<double> weights;
  double sum = 0;
  for (int i = -kBlurRadius; i <= kBlurRadius; ++i) {
    weights.push_back(std::exp(-i * i / (2 * kBlurDeviation * kBlurDeviation)));
    sum += weights.back();
  }
  const at::Tensor kernel = (at::tensor(weights, at::kDouble) / sum).to(x.options());
  const at::Tensor padded = at::reflection_pad2d(x, {kBlurRadius, kBlurRadius, kBlurRadius, kBlurRadius});
  const at::Tensor rows = kernel.view({1, 1, 1, -1}).expand({3, 1, 1, -1}).contiguous();
  const at::Tensor across = at::conv2d(padded, rows, at::Tensor(), 1, at::IntArrayRef{0}, 1, 3);
  return at::conv2d(across, rows.transpose(2, 3).contiguous(), at::Tensor(), 1, at::IntArrayRef{0}, 1, 3);
}

}  // namespace

std::string_view name(Edit edit) {
  return kNames[static_cast<std::size_t>(edit)];
}

bool is_tint(Edit edit) {
  return edit >= Edit::red && edit <= Edit::orange;
}

at::Tensor luminance(const at::Tensor& x) {
  return (x * colour({0.299, 0.587, 0.114}, x)).sum(1, true);
}

at::Tensor apply(Edit edit, const at::Tensor& x) {
  switch (edit) {
    case Edit::black_and_white:
      return luminance(x).expand_as(x);
    case Edit::brighter:
      return 1 - (1 - x).pow(1.8);
    case Edit::darker:
      return x.pow(1.2) * 0.55;
    case Edit::invert:
      return 1 - x;
    case Edit::sepia:
      return sepia(x).clamp(0, 1);
    case Edit::contrast:
      return ((x - 0.5) * 1.8 + 0.5).clamp(0, 1);
    case Edit::blur:
      return blur(x);
    case Edit::pixelate:
      return at::avg_pool2d(x, kBlock).repeat_interleave(kBlock, 2).repeat_interleave(kBlock, 3);
    case Edit::none:
      return x;
    default:
      return tint(x, kTints[static_cast<std::size_t>(edit) - static_cast<std::size_t>(Edit::red)]).clamp(0, 1);
  }
}

}  // namespace step1x::demo
