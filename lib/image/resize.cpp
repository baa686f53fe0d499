#include "image/resize.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "base/error.hpp"

namespace step1x {

namespace {

constexpr int kChannels = 3;
// Weights are fixed-point numbers: 32 bits, less 8 of the pixel, less 2 for weights above 1 and below 0.
constexpr int kFractionBits = 32 - 8 - 2;

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double lanczos(double x) {
  return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

// For each output position: the first input position and the weights from there on.
struct Weights {
  std::vector<int> first;
  std::vector<int> count;
  std::vector<std::int32_t> values;  // `stride` per output position
  std::size_t stride = 0;
};

Weights weights(int in_size, int out_size, ResizeFilter filter) {
  const auto kernel = filter == ResizeFilter::bicubic ? bicubic : lanczos;
  const double scale = static_cast<double>(in_size) / out_size;
  const double stretch = std::max(scale, 1.0);
  const double support = (filter == ResizeFilter::bicubic ? 2.0 : 3.0) * stretch;
  const double per_step = 1.0 / stretch;

  Weights result;
  result.stride = static_cast<std::size_t>(std::ceil(support)) * 2 + 1;
  result.values.resize(result.stride * static_cast<std::size_t>(out_size));
  std::vector<double> row(result.stride);
  for (int out = 0; out < out_size; ++out) {
    const double center = (out + 0.5) * scale;
    // Truncation after adding a half, as Pillow has it: lround would give other bounds below zero.
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);                // NOLINT
    const int count = std::min(static_cast<int>(center + support + 0.5), in_size) - first;  // NOLINT
    double sum = 0.0;
    for (int i = 0; i < count; ++i) {
      row[i] = kernel((i + first - center + 0.5) * per_step);
      sum += row[i];
    }
    for (int i = 0; i < count; ++i) {
      if (sum != 0.0) row[i] /= sum;
      const double fixed = row[i] * (1 << kFractionBits);
      result.values[static_cast<std::size_t>(out) * result.stride + i] =
          static_cast<std::int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    }
    result.first.push_back(first);
    result.count.push_back(count);
  }
  return result;
}

std::uint8_t to_byte(std::int32_t fixed) {
  return static_cast<std::uint8_t>(std::clamp(fixed >> kFractionBits, 0, 255));
}

constexpr std::int32_t kHalf = 1 << (kFractionBits - 1);

// (rows, in_width, 3) -> (rows, out_width, 3)
std::vector<std::uint8_t> resize_rows(std::span<const std::uint8_t> in, int rows, int in_width, int out_width,
                                      ResizeFilter filter) {
  const Weights w = weights(in_width, out_width, filter);
  std::vector<std::uint8_t> out(static_cast<std::size_t>(rows) * out_width * kChannels);
  std::uint8_t* to = out.data();
  for (int y = 0; y < rows; ++y) {
    const std::uint8_t* row = in.data() + static_cast<std::size_t>(y) * in_width * kChannels;
    for (int x = 0; x < out_width; ++x) {
      const std::int32_t* weight = &w.values[static_cast<std::size_t>(x) * w.stride];
      const std::uint8_t* from = row + static_cast<std::size_t>(w.first[x]) * kChannels;
      std::int32_t sums[kChannels] = {kHalf, kHalf, kHalf};
      for (int i = 0; i < w.count[x]; ++i) {
        for (int c = 0; c < kChannels; ++c) sums[c] += *from++ * weight[i];
      }
      for (const std::int32_t sum : sums) *to++ = to_byte(sum);
    }
  }
  return out;
}

// (in_height, width, 3) -> (out_height, width, 3)
std::vector<std::uint8_t> resize_columns(std::span<const std::uint8_t> in, int width, int in_height, int out_height,
                                         ResizeFilter filter) {
  const Weights w = weights(in_height, out_height, filter);
  const std::size_t row_bytes = static_cast<std::size_t>(width) * kChannels;
  std::vector<std::uint8_t> out(static_cast<std::size_t>(out_height) * row_bytes);
  std::vector<std::int32_t> sums(row_bytes);
  for (int y = 0; y < out_height; ++y) {
    std::ranges::fill(sums, kHalf);
    for (int i = 0; i < w.count[y]; ++i) {
      const std::int32_t weight = w.values[static_cast<std::size_t>(y) * w.stride + i];
      const std::uint8_t* from = in.data() + static_cast<std::size_t>(w.first[y] + i) * row_bytes;
      for (std::size_t x = 0; x < row_bytes; ++x) sums[x] += from[x] * weight;
    }
    std::ranges::transform(sums, out.begin() + static_cast<std::ptrdiff_t>(y * row_bytes), to_byte);
  }
  return out;
}

}  // namespace

std::vector<std::uint8_t> resize(RgbView picture, PictureSize size, ResizeFilter filter, ResizeOrder order) {
  if (picture.width < 1 || picture.height < 1 || size.width < 1 || size.height < 1) {
    throw Error::format(ErrorCode::bad_image, "a picture of {}x{} cannot be resized to {}x{}", picture.width,
                        picture.height, size.width, size.height);
  }
  if (picture.bytes.size() != static_cast<std::size_t>(picture.width) * picture.height * kChannels) {
    throw Error::format(ErrorCode::failure, "a picture of {}x{} has {} bytes", picture.width, picture.height,
                        picture.bytes.size());
  }
  const int shrunk = picture.height - size.height;
  const bool columns_first =
      order == ResizeOrder::cheaper_first && shrunk > 0 && shrunk > 2 * (picture.width - size.width);
  // No pass where nothing changes: the rounding between the passes is part of the result.
  std::vector<std::uint8_t> current(picture.bytes.begin(), picture.bytes.end());
  if (columns_first) current = resize_columns(current, picture.width, picture.height, size.height, filter);
  const int height = columns_first ? size.height : picture.height;
  if (size.width != picture.width) current = resize_rows(current, height, picture.width, size.width, filter);
  if (size.height != height) current = resize_columns(current, size.width, height, size.height, filter);
  return current;
}

PictureSize edit_size(PictureSize picture, int size_level, int multiple) {
  if (picture.width < 1 || picture.height < 1 || size_level < 1) {
    throw Error::format(ErrorCode::bad_image, "a picture of {}x{} cannot be edited at size {}", picture.width,
                        picture.height, size_level);
  }
  const double ratio = static_cast<double>(picture.width) / picture.height;
  const double area = static_cast<double>(size_level) * size_level;
  double width = 0.0;
  double height = 0.0;
  if (picture.width > picture.height) {
    width = std::ceil(std::sqrt(area * ratio));
    height = std::ceil(width / ratio);
  } else {
    height = std::ceil(std::sqrt(area / ratio));
    width = std::ceil(height * ratio);
  }
  const auto down = [&](double side) { return static_cast<int>(side) / multiple * multiple; };
  const PictureSize size{down(width), down(height)};
  if (size.width == 0 || size.height == 0) {
    throw Error::format(ErrorCode::bad_image,
                        "a picture of {}x{} is too long and thin to edit at size {}: it would become {}x{}; crop it or "
                        "raise the size",
                        picture.width, picture.height, size_level, size.width, size.height);
  }
  return size;
}

}  // namespace step1x
