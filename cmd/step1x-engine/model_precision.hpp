// In which type a model's transformer and text encoder are held and computed with.
#pragma once

#include "model/aten.hpp"
#include "weights/layout.hpp"

namespace step1x::engine {

// bf16 on a GPU, as the reference has it. On the CPU float32, which is the reference's other form, where the weights
// take no more than a quarter of the memory that is available then; else bf16.
at::ScalarType choose_dtype(const ModelLayout& layout, at::Device device);

}  // namespace step1x::engine
