#include "model/vision_windows.hpp"

#include <algorithm>

namespace step1x {

VisionWindows vision_windows(PatchGrid grid, const VisionConfig& config) {
  const std::int64_t rows = grid.rows / config.merge_size;
  const std::int64_t columns = grid.columns / config.merge_size;
  const std::int64_t side = config.window_tokens();
  VisionWindows result;
  result.order.reserve(static_cast<std::size_t>(rows * columns));
  for (std::int64_t top = 0; top < rows; top += side) {
    for (std::int64_t left = 0; left < columns; left += side) {
      const std::int64_t bottom = std::min(top + side, rows);
      const std::int64_t right = std::min(left + side, columns);
      for (std::int64_t row = top; row < bottom; ++row) {
        for (std::int64_t column = left; column < right; ++column) result.order.push_back(row * columns + column);
      }
      result.lengths.push_back((bottom - top) * (right - left));
    }
  }
  return result;
}

VisionWindows sort_by_length(const VisionWindows& windows) {
  struct Window {
    std::int64_t start;
    std::int64_t length;
  };
  std::vector<Window> sorted;
  std::int64_t start = 0;
  for (const std::int64_t length : windows.lengths) {
    sorted.push_back({start, length});
    start += length;
  }
  std::ranges::stable_sort(sorted, std::ranges::greater(), &Window::length);
  VisionWindows result;
  for (const Window& window : sorted) {
    const auto first = windows.order.begin() + window.start;
    result.order.insert(result.order.end(), first, first + window.length);
    result.lengths.push_back(window.length);
  }
  return result;
}

std::vector<std::int64_t> inverse(const std::vector<std::int64_t>& order) {
  std::vector<std::int64_t> result(order.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    result[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
  return result;
}

PatchPositions patch_positions(const std::vector<std::int64_t>& order, PatchGrid grid, std::int64_t merge_size) {
  const std::int64_t columns = grid.columns / merge_size;
  PatchPositions result;
  for (const std::int64_t token : order) {
    for (std::int64_t y = 0; y < merge_size; ++y) {
      for (std::int64_t x = 0; x < merge_size; ++x) {
        result.rows.push_back(token / columns * merge_size + y);
        result.columns.push_back(token % columns * merge_size + x);
      }
    }
  }
  return result;
}

}  // namespace step1x
