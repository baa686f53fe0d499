#include "devices.hpp"

#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

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
  DeviceMemory::Simulation simulation;
  std::size_t part = 0;
  for (std::string_view rest = text; part == 0 || !rest.empty(); ++part) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    const std::string_view key = part == 0 ? "" : item.substr(0, item.find('=') + 1);
    std::string_view value = item.substr(key.size());
    if (key == "busy=" && value.find(':') != std::string_view::npos) {
      simulation.busy_file = value.substr(value.find(':') + 1);
      value = value.substr(0, value.find(':'));
    }
    const std::uint64_t size = parse_size(value, "--device sim");
    if (key.empty() && part == 0) simulation.bytes = size;
    if (key == "taken=") simulation.taken = size;
    if (key == "busy=") simulation.busy = size;
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
