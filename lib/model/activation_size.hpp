// How much memory a job computes with besides the weights, so that a plan can be made before anything is allocated: an
// upper estimate from the dimensions, within about twice what libtorch counts (tests/model/test_activation_size.cpp).
// Pure; any thread.
#pragma once

#include "memory/planner.hpp"
#include "model/model_files.hpp"

namespace step1x {

struct JobSize {
  int side = 0;  // of the square whose area is worked at, in pixels
  int steps = 0;
  bool tiled = false;
};

// bytes; `type` is that of transformer and text encoder.
ActivationSize activation_size(const ModelFiles& files, const JobSize& job, at::ScalarType type);

}  // namespace step1x
