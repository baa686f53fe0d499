// A GPU for a program that computes on one without the engine, as the engine has it.
#pragma once

#include <ATen/Context.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "device/cuda.hpp"

namespace step1x::test {

// "cuda" or "cuda:N", before the first operator of the process. Throws std::runtime_error where libtorch cannot.
inline at::Device open_gpu(const std::string& name) {
  if (!load_cuda().empty()) throw std::runtime_error(load_cuda());
  const at::Device device(name);
  at::globalContext().lazyInitDevice(device.type());
  choose_cuda_operators();
  return {device.type(), static_cast<c10::DeviceIndex>(std::max<int>(device.index(), 0))};
}

}  // namespace step1x::test
