// What libtorch's own code for CUDA would choose, and does not any more.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/SDPBackend.h>

#include "device/cuda.hpp"
#include "support/doctest_with_torch.hpp"

namespace {

constexpr auto kFlash = static_cast<std::int64_t>(at::SDPBackend::flash_attention);
constexpr auto kEfficient = static_cast<std::int64_t>(at::SDPBackend::efficient_attention);
constexpr auto kCudnn = static_cast<std::int64_t>(at::SDPBackend::cudnn_attention);

std::int64_t chosen_attention(at::ScalarType type, bool with_mask) {
  const auto options = at::TensorOptions(type).device(at::kCUDA, 0);
  const at::Tensor x = at::zeros({1, 4, 320, 128}, options);
  const auto mask = with_mask ? std::optional(at::zeros({1, 1, 320, 320}, options)) : std::nullopt;
  return at::_fused_sdp_choice(x, x, x, mask);
}

}  // namespace

TEST_CASE("attention that builds a plan for each length, and float32 that is none, are left to libtorch no more") {
  CHECK(chosen_attention(at::kBFloat16, false) == kCudnn);
  CHECK(at::globalContext().allowTF32CuDNN());
  step1x::choose_cuda_operators();
  CHECK(chosen_attention(at::kBFloat16, false) == kFlash);
  CHECK(chosen_attention(at::kBFloat16, true) == kEfficient);
  CHECK(chosen_attention(at::kFloat, false) == kEfficient);
  CHECK_FALSE(at::globalContext().allowTF32CuDNN());
  CHECK_FALSE(at::globalContext().allowTF32CuBLAS());
}
