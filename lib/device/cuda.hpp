// libtorch's library for NVIDIA's GPUs, which is not linked but loaded where there is a GPU, and what is not left to
// its choice. Main thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace step1x {

// Why libtorch_cuda cannot be loaded; empty where it is. It has to come before the first operator of the process:
// libtorch asks for its hooks once, and keeps those of the CPU's library, which know no device, for good.
const std::string& load_cuda();

// For the whole process, once, before the first operator on a GPU. REQUIRES: loaded.
//
// No cuDNN attention, which libtorch takes first on Hopper and Blackwell: it builds a plan, 20 to 40 ms, for each
// length of a sequence that it has not had, and each prompt has another one in about eleven places. FlashAttention and
// the memory-efficient kernel take any length.
//
// No TF32 for float32, which libtorch would take for convolutions: it has ten bits of mantissa, and float32 is what
// someone chooses who wants the reference's numbers. The VAE is the one part with convolutions.
void choose_cuda_operators();

// How much of GPU `index`, which has `total` bytes, libtorch may have from here on; none: all of it. What it keeps for
// later and could not have any more is given back. An operator that needs more throws c10::OutOfMemoryError. Throws
// Error(failure) where libtorch came without CUDA's headers, which a build without NVIDIA's packages may.
void limit_cuda_memory(int index, std::uint64_t total, std::optional<std::uint64_t> most);

}  // namespace step1x
