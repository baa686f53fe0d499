#include "nn/tiles.hpp"

#include <algorithm>

namespace step1x {

namespace {

// 1 inside a tile, rising from its sides over `overlap` elements where another tile is there to blend with. (n)
at::Tensor ramp(std::int64_t n, std::int64_t overlap, bool first, bool last, const at::TensorOptions& options) {
  const at::Tensor place = at::arange(n, options) + 0.5;
  at::Tensor weight = at::ones({n}, options);
  if (!first) weight = weight * (place / overlap).clamp_max(1);
  if (!last) weight = weight * ((static_cast<double>(n) - place) / overlap).clamp_max(1);
  return weight;
}

}  // namespace

std::vector<std::int64_t> tile_starts(std::int64_t size, std::int64_t tile, std::int64_t overlap) {
  std::vector<std::int64_t> starts{0};
  while (starts.back() + tile < size) starts.push_back(std::min(starts.back() + tile - overlap, size - tile));
  return starts;
}

at::Tensor map_tiles(const at::Tensor& x, std::int64_t tile, std::int64_t overlap, std::int64_t up, std::int64_t down,
                     const std::function<at::Tensor(const at::Tensor&)>& map) {
  const std::int64_t height = x.size(2);
  const std::int64_t width = x.size(3);
  const auto scaled = [&](std::int64_t length) { return length * up / down; };
  const std::vector<std::int64_t> rows = tile_starts(height, tile, overlap);
  const std::vector<std::int64_t> columns = tile_starts(width, tile, overlap);
  const at::TensorOptions options = x.options().dtype(at::kFloat);
  at::Tensor sum;     // (batch, channels', scaled height, scaled width)
  at::Tensor weight;  // (1, 1, scaled height, scaled width)
  for (const std::int64_t row : rows) {
    for (const std::int64_t column : columns) {
      const std::int64_t h = std::min(tile, height - row);
      const std::int64_t w = std::min(tile, width - column);
      const at::Tensor out = map(x.narrow(2, row, h).narrow(3, column, w)).to(at::kFloat);
      const at::Tensor vertical = ramp(scaled(h), scaled(overlap), row == 0, row + h == height, options);
      const at::Tensor horizontal = ramp(scaled(w), scaled(overlap), column == 0, column + w == width, options);
      const at::Tensor share = at::outer(vertical, horizontal).unsqueeze(0).unsqueeze(0);
      const std::vector<std::int64_t> margins{scaled(column), scaled(width - column - w), scaled(row),
                                              scaled(height - row - h)};
      if (!sum.defined()) {
        sum = at::zeros({out.size(0), out.size(1), scaled(height), scaled(width)}, options);
        weight = at::zeros({1, 1, scaled(height), scaled(width)}, options);
      }
      sum = sum + at::constant_pad_nd(out * share, margins);
      weight = weight + at::constant_pad_nd(share, margins);
    }
  }
  return sum / weight;
}

}  // namespace step1x
