#include "device/cuda.hpp"

#include <ATen/Context.h>
#include <dlfcn.h>

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

}  // namespace step1x
