// A part of a model while it is trained: float32 leaves under the names of lib/model, and back into a checkpoint under
// the names of its layout. One thread at a time.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "demo/random.hpp"
#include "nn/weights.hpp"

namespace step1x::train {

// Biases are 0, scales of norms 1, matrices and kernels normal with deviation 1 / sqrt(inputs), embeddings normal.
Weights random_weights(const LoadTable& table, demo::Random& random);

// All tensors of the part, in the table's order.
std::vector<at::Tensor> tensors(const Weights& weights, const LoadTable& table);

// As bf16 safetensors, atomically, in the layout that `table` reads.
void save_weights(const std::filesystem::path& path, const std::vector<at::Tensor>& tensors, const LoadTable& table);

}  // namespace step1x::train
