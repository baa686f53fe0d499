#include "image/encoder_picture.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace step1x {

namespace {

// What qwen_vl_utils allows before the image processor's own range.
constexpr std::int64_t kFirstMinPixels = 4 * 28 * 28;
constexpr std::int64_t kFirstMaxPixels = 16384 * 28 * 28;
constexpr double kMaxRatio = 200;

}  // namespace

PictureSize smart_resize(PictureSize picture, int factor, std::int64_t min_pixels, std::int64_t max_pixels) {
  const double width = picture.width;
  const double height = picture.height;
  if (width < 1 || height < 1 || std::max(width, height) / std::min(width, height) > kMaxRatio) {
    throw Error::format(ErrorCode::bad_image,
                        "a picture of {}x{} is too long and thin: sides may differ by a factor of {}", picture.width,
                        picture.height, kMaxRatio);
  }
  // Halves go to the even neighbour, as Python rounds.
  const auto to_factor = [&](double side) { return std::max(std::nearbyint(side / factor) * factor, 1.0 * factor); };
  double new_width = to_factor(width);
  double new_height = to_factor(height);
  if (new_width * new_height > static_cast<double>(max_pixels)) {
    const double shrink = std::sqrt(width * height / static_cast<double>(max_pixels));
    new_width = std::max(std::floor(width / shrink / factor) * factor, 1.0 * factor);
    new_height = std::max(std::floor(height / shrink / factor) * factor, 1.0 * factor);
  } else if (new_width * new_height < static_cast<double>(min_pixels)) {
    const double grow = std::sqrt(static_cast<double>(min_pixels) / (width * height));
    new_width = std::ceil(width * grow / factor) * factor;
    new_height = std::ceil(height * grow / factor) * factor;
  }
  return {static_cast<int>(new_width), static_cast<int>(new_height)};
}

EncoderPicture encoder_picture(RgbView picture, const EncoderPictureConfig& config, const PictureResize& last) {
  const int factor = config.patch_size * config.merge_size;
  std::vector<std::uint8_t> first;
  if (config.twice) {
    const PictureSize size = smart_resize({picture.width, picture.height}, factor, kFirstMinPixels, kFirstMaxPixels);
    first = resize(picture, size, ResizeFilter::bicubic);
    picture = {size.width, size.height, first};
  }
  EncoderPicture result;
  result.size = smart_resize({picture.width, picture.height}, factor, config.min_pixels, config.max_pixels);
  result.rgb = last ? last(picture, result.size) : resize(picture, result.size, ResizeFilter::bicubic);
  result.grid_rows = result.size.height / config.patch_size;
  result.grid_columns = result.size.width / config.patch_size;
  result.tokens = result.grid_rows * result.grid_columns / (config.merge_size * config.merge_size);
  return result;
}

std::vector<float> encoder_patches(const EncoderPicture& picture, const EncoderPictureConfig& config) {
  // 256 values a channel are all there is.
  std::array<std::array<float, 256>, 3> table{};
  for (std::size_t c = 0; c < 3; ++c) {
    for (int value = 0; value < 256; ++value) {
      const auto scaled = static_cast<float>(value * (1.0 / 255));
      table[c][static_cast<std::size_t>(value)] =
          (scaled - static_cast<float>(config.mean[c])) / static_cast<float>(config.deviation[c]);
    }
  }
  const int merge = config.merge_size;
  const int patch = config.patch_size;
  std::vector<float> out;
  out.reserve(picture.rgb.size() * static_cast<std::size_t>(config.temporal_patch_size));
  const auto append_patch = [&](int row, int column) {
    for (std::size_t c = 0; c < 3; ++c) {
      for (int t = 0; t < config.temporal_patch_size; ++t) {
        for (int y = row * patch; y < (row + 1) * patch; ++y) {
          const std::size_t line = static_cast<std::size_t>(y) * picture.size.width;
          for (int x = column * patch; x < (column + 1) * patch; ++x) {
            out.push_back(table[c][picture.rgb[(line + x) * 3 + c]]);
          }
        }
      }
    }
  };
  for (int row = 0; row < picture.grid_rows; row += merge) {
    for (int column = 0; column < picture.grid_columns; column += merge) {
      for (int dy = 0; dy < merge; ++dy) {
        for (int dx = 0; dx < merge; ++dx) append_patch(row + dy, column + dx);
      }
    }
  }
  return out;
}

}  // namespace step1x
