#include "demo/drawings.hpp"

#include <ATen/ops/clamp.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

namespace step1x::demo {

namespace {

using Colour = std::array<double, 3>;

// Strong colours are rarer than dull ones, as in photographs.
Colour random_colour(Random& random) {
  const double hue = random.uniform(0, 6);
  const double saturation = std::pow(random.uniform(), 1.3);
  const double value = random.uniform(0.05, 1);
  Colour colour{};
  for (std::size_t i = 0; i < colour.size(); ++i) {
    const double k = std::fmod(5 - 2 * static_cast<double>(i) + hue, 6);
    colour[i] = value - value * saturation * std::clamp(std::min(k, 4 - k), 0.0, 1.0);
  }
  return colour;
}

// Noise that is smooth over side / cells pixels: (channels, side, side), mean 0, deviation about 1.
at::Tensor smooth_noise(Random& random, std::int64_t channels, std::int64_t side, std::int64_t cells) {
  std::vector<float> values(static_cast<std::size_t>(channels * cells * cells));
  for (float& value : values) value = static_cast<float>(random.normal());
  const at::Tensor grid = at::tensor(values, at::kFloat).view({1, channels, cells, cells});
  return at::upsample_bilinear2d(grid, {side, side}, /*align_corners=*/true).squeeze(0);
}

// Noise of every scale, the coarse ones strongest.
at::Tensor clouds(Random& random, std::int64_t channels, std::int64_t side) {
  const double fall = random.uniform(0.4, 0.8);
  at::Tensor sum = at::zeros({channels, side, side});
  double weight = 1;
  for (std::int64_t cells = 2; cells <= side; cells *= 2) {
    sum += smooth_noise(random, channels, side, cells) * weight;
    weight *= fall;
  }
  return sum;
}

// Distances and coordinates that shapes are made of, in units of the side.
struct Grid {
  at::Tensor x;
  at::Tensor y;
};

Grid grid_around(Random& random, std::int64_t side) {
  const double angle = random.uniform(0, 2 * std::numbers::pi);
  const at::Tensor line = at::arange(side, at::kFloat) / static_cast<double>(side);
  const at::Tensor x = line.view({1, -1}) - random.uniform();
  const at::Tensor y = line.view({-1, 1}) - random.uniform();
  return {x * std::cos(angle) + y * std::sin(angle), y * std::cos(angle) - x * std::sin(angle)};
}

// 1 inside, 0 outside, with an edge of about a pixel, or of many. -> (side, side)
at::Tensor shape_mask(Random& random, std::int64_t side) {
  const Grid grid = grid_around(random, side);
  const double a = std::pow(random.uniform(), 2) * 0.45 + 0.02;
  const double b = a * random.uniform(0.2, 1);
  const double pixels = random.chance(0.15) ? random.uniform(4, 20) : 1;
  at::Tensor inside;
  switch (random.below(5)) {
    case 0:
    case 1:  // ellipse
      inside = (1 - ((grid.x / a).square() + (grid.y / b).square()).sqrt()) * b;
      break;
    case 2:  // rectangle
      inside = at::minimum(a - grid.x.abs(), b - grid.y.abs());
      break;
    case 3:  // half a plane, cut by another
      inside = at::minimum(grid.x, grid.y * random.uniform(-1, 1) + grid.x * 0.5);
      break;
    default:  // ring
      inside = b * 0.2 - ((grid.x.square() + grid.y.square()).sqrt() - a).abs();
  }
  return (inside * static_cast<double>(side) / pixels + 0.5).clamp(0, 1);
}

at::Tensor flat(const Colour& colour) {
  return at::tensor(std::vector<double>(colour.begin(), colour.end()), at::kDouble).to(at::kFloat).view({3, 1, 1});
}

// What a surface looks like: plain, shaded, striped, chequered or cloudy. -> (3, side, side)
at::Tensor surface(Random& random, std::int64_t side) {
  const at::Tensor first = flat(random_colour(random));
  const at::Tensor second = flat(random_colour(random));
  const Grid grid = grid_around(random, side);
  at::Tensor mix;  // (side, side) in [0, 1]
  switch (random.below(6)) {
    case 0:
    case 1:
      mix = (grid.x + 0.5).clamp(0, 1);
      break;
    case 2:
      mix = (grid.x * random.uniform(10, 120)).sin() * random.uniform(0.5, 6);
      mix = (mix + 0.5).clamp(0, 1);
      break;
    case 3: {
      const double tiles = random.uniform(8, 60);
      mix = ((grid.x * tiles).sin() * (grid.y * tiles).sin() * 8 + 0.5).clamp(0, 1);
      break;
    }
    case 4:
      mix = (clouds(random, 1, side).squeeze(0) * 0.25 + 0.5).clamp(0, 1);
      break;
    default:
      mix = at::zeros({side, side});
  }
  return first + (second - first) * mix;
}

}  // namespace

at::Tensor drawing(Random& random, std::int64_t side) {
  at::Tensor picture = surface(random, side);
  if (random.chance(0.3)) picture = picture + clouds(random, 3, side) * random.uniform(0.02, 0.2);
  const std::size_t shapes = random.below(12);
  for (std::size_t i = 0; i < shapes; ++i) {
    const at::Tensor mask = shape_mask(random, side) * (random.chance(0.2) ? random.uniform(0.3, 1) : 1);
    picture = picture + (surface(random, side) - picture) * mask;
  }
  if (random.chance(0.5)) picture = picture * (1 + clouds(random, 1, side) * random.uniform(0.02, 0.12));
  if (random.chance(0.3)) picture = picture + at::clamp(clouds(random, 3, side) * 0.01, -0.05, 0.05);
  return picture.clamp(0, 1);
}

}  // namespace step1x::demo
