// Working on a large picture tile by tile, with overlaps that are blended so that no seam is seen. For maps whose
// output at a place depends mostly on what is near it. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "nn/aten.hpp"

namespace step1x {

// Where tiles of at most `tile` begin so that they cover [0, size), neighbours sharing at least `overlap`.
std::vector<std::int64_t> tile_starts(std::int64_t size, std::int64_t tile, std::int64_t overlap);

// x: (batch, channels, h, w). `map` turns a tile of h' x w' into one of (h' * up / down) x (w' * up / down); the result
// is what it would be at once, but for what crosses tiles. `tile`, `overlap`: of x; multiples of `down`.
at::Tensor map_tiles(const at::Tensor& x, std::int64_t tile, std::int64_t overlap, std::int64_t up, std::int64_t down,
                     const std::function<at::Tensor(const at::Tensor&)>& map);

}  // namespace step1x
