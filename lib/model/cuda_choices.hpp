// What is not left to libtorch's choice on a GPU. For the whole process, once, before the first operator on one; main
// thread.
#pragma once

namespace step1x {

// No cuDNN attention, which libtorch takes first on Hopper and Blackwell: it builds a plan, 20 to 40 ms, for each
// length of a sequence that it has not had, and each prompt has another one in about eleven places. FlashAttention and
// the memory-efficient kernel take any length.
//
// No TF32 for float32, which libtorch would take for convolutions: it has ten bits of mantissa, and float32 is what
// someone chooses who wants the reference's numbers. The VAE is the one part with convolutions.
void choose_cuda_operators();

}  // namespace step1x
