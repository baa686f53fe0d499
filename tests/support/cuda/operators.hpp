// How the operators of CUDA are computed here: by the CPU's, on the addresses of tensors.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include <functional>
#include <optional>
#include <string>

namespace stand_in {

using Stack = torch::jit::Stack;
// Takes the arguments from the stack and leaves the results.
using Compute = std::function<void(Stack&)>;

// Those that the CPU does not have: attention and convolution by cuDNN and others. nullptr for the rest.
const Compute* special_operator(const std::string& name);

}  // namespace stand_in
