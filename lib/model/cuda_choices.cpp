#include "model/cuda_choices.hpp"

#include <ATen/Context.h>

namespace step1x {

void choose_cuda_operators() {
  at::Context& context = at::globalContext();
  context.setSDPUseCuDNN(false);
  context.setAllowTF32CuDNN(false);
  context.setAllowTF32CuBLAS(false);
}

}  // namespace step1x
