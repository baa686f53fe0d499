#include "device/cuda.hpp"

#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <dlfcn.h>
#if __has_include(<cuda_runtime_api.h>)
#include <c10/cuda/CUDACachingAllocator.h>
#endif

#include "base/error.hpp"
#include "gpu/driver_library.hpp"

namespace step1x {

const std::string& load_cuda() {
  static const std::string problem = [] {
    open_driver_library("libcuda.so.1");
    return ::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr ? std::string(::dlerror()) : std::string();
  }();
  return problem;
}

void choose_cuda_operators() {
  at::Context& context = at::globalContext();
  context.setSDPUseCuDNN(false);
  context.setAllowTF32CuDNN(false);
  context.setAllowTF32CuBLAS(false);
}

void limit_cuda_memory(int index, std::uint64_t total, std::optional<std::uint64_t> most) {
  c10::DeviceAllocator* allocator = at::getDeviceAllocator(at::kCUDA);
#if __has_include(<cuda_runtime_api.h>)
  // Half a byte more: libtorch takes the product's whole part.
  const double part = most && *most < total ? (static_cast<double>(*most) + 0.5) / static_cast<double>(total) : 1;
  // Not dynamic: what would tell the type apart is in libtorch's library for CUDA, which is not linked. A call of a
  // virtual function needs nothing of it.
  static_cast<c10::cuda::CUDACachingAllocator::CUDAAllocator*>(allocator)->setMemoryFraction(
      part, static_cast<c10::DeviceIndex>(index));
#else
  if (most) {
    throw Error(
        ErrorCode::failure,
        "--max-vram: this libtorch came without CUDA's headers, and cannot be limited; leave the option out, or "
        "build with the libtorch that scripts/libtorch fetches");
  }
#endif
  if (most) allocator->emptyCache();
}

}  // namespace step1x
