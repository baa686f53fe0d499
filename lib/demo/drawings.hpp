// Pictures to learn from that nobody had to take: gradients, clouds, shapes and textures in random colours. A pure
// function of the Random; any thread.
#pragma once

#include "demo/random.hpp"
#include "nn/aten.hpp"

namespace step1x::demo {

// -> (3, side, side), float32 in [0, 1]
at::Tensor drawing(Random& random, std::int64_t side);

}  // namespace step1x::demo
