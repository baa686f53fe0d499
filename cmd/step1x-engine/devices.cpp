#include "devices.hpp"

#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <unistd.h>

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

}  // namespace

DeviceMemory find_device(const std::string& name) {
  if (name == "cpu") return DeviceMemory(at::kCPU);
  if (name == "auto") return DeviceMemory(count_gpus() > 0 ? gpu(0, name) : at::Device(at::kCPU));
  if (name == "cuda") return DeviceMemory(gpu(0, name));
  constexpr std::string_view kSimulated = "sim:";
  if (name.starts_with(kSimulated)) {
    constexpr std::string_view kTaken = ",taken=";
    const std::string sizes = name.substr(kSimulated.size());
    const auto comma = sizes.find(kTaken);
    const auto size = [](const std::string& text) { return parse_size(text, "--device sim"); };
    return DeviceMemory::simulate(size(sizes.substr(0, comma)),
                                  comma == std::string::npos ? 0 : size(sizes.substr(comma + kTaken.size())));
  }
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
