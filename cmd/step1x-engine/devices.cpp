#include "devices.hpp"

#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <vector>

#include "base/error.hpp"
#include "base/size.hpp"

namespace step1x::engine {
namespace {

// How many GPUs this process may use.
int count_gpus() {
  static const int count = [] {
    // Loading libtorch_cuda takes half a second, for nothing where there is no driver.
    if (::access("/dev/nvidiactl", F_OK) != 0) return 0;
    if (::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
      throw Error::format(
          ErrorCode::model_missing,
          "there is a GPU, but libtorch cannot use it: {}; run scripts/libtorch --cuda, or say --device cpu",
          ::dlerror());
    }
    return static_cast<int>(at::detail::getCUDAHooks().deviceCount());
  }();
  return count;
}

at::Device gpu(int index, const std::string& name) {
  const int count = count_gpus();
  if (index >= count) {
    throw Error::format(ErrorCode::usage, "--device {}: this machine has {} GPUs that may be used{}", name, count,
                        count == 0 ? "; --device cpu needs none" : "");
  }
  return {at::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

// SIZE[,taken=SIZE][,busy=SIZE:FILE]
DeviceMemory simulated(const std::string& text) {
  const auto size = [](std::string_view part) { return parse_size(part, "--device sim"); };
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at <= text.size(); at += parts.back().size() + 1) {
    parts.push_back(std::string_view(text).substr(at, text.find(',', at) - at));
  }
  DeviceMemory::Simulation simulation;
  simulation.bytes = size(parts.front());
  for (const std::string_view part : std::span(parts).subspan(1)) {
    const std::string_view value = part.substr(std::min(part.size(), part.find('=') + 1));
    const std::string_view amount = value.substr(0, value.find(':'));
    if (part.starts_with("taken=")) {
      simulation.taken = size(value);
    } else if (part.starts_with("busy=") && amount.size() < value.size()) {
      simulation.busy = size(amount);
      simulation.busy_file = value.substr(amount.size() + 1);
    } else {
      throw Error::format(ErrorCode::usage, "--device sim:{}: '{}' is neither taken=SIZE nor busy=SIZE:FILE", text,
                          part);
    }
  }
  return DeviceMemory::simulate(std::move(simulation));
}

}  // namespace

DeviceMemory find_device(const std::string& name) {
  if (name == "cpu") return DeviceMemory(at::kCPU);
  if (name == "auto") return DeviceMemory(count_gpus() > 0 ? gpu(0, name) : at::Device(at::kCPU));
  if (name == "cuda") return DeviceMemory(gpu(0, name));
  constexpr std::string_view kSimulated = "sim:";
  if (name.starts_with(kSimulated)) return simulated(name.substr(kSimulated.size()));
  constexpr std::string_view kPrefix = "cuda:";
  if (name.starts_with(kPrefix)) {
    int index = -1;
    const char* end = name.data() + name.size();
    const auto [stop, problem] = std::from_chars(name.data() + kPrefix.size(), end, index);
    if (problem == std::errc{} && stop == end && index >= 0) return DeviceMemory(gpu(index, name));
  }
  throw Error::format(ErrorCode::usage, "--device {}: not a device; there are auto, cpu and cuda:N", name);
}

}  // namespace step1x::engine
