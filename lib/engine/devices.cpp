#include "engine/devices.hpp"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <span>
#include <vector>

#include "base/error.hpp"
#include "base/size.hpp"
#include "device/cuda.hpp"
#include "gpu/gpus.hpp"

namespace step1x::engine {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool has_driver() {
  // The second is WSL's.
  return ::access("/dev/nvidiactl", F_OK) == 0 || ::access("/dev/dxg", F_OK) == 0;
}

// What is asked of the CUDA runtime directly (docs.nvidia.com/cuda/cuda-runtime-api); it is loaded with libtorch.
template <typename Function>
Function runtime(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_DEFAULT, name));
}

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

// That the driver is new enough for the runtime; CUDA itself would only count no devices.
void check_driver() {
  const auto driver_version = runtime<int (*)(int*)>("cudaDriverGetVersion");
  const auto runtime_version = runtime<int (*)(int*)>("cudaRuntimeGetVersion");
  int driver = 0;
  int needed = 0;
  if (driver_version == nullptr || runtime_version == nullptr) return;
  if (driver_version(&driver) != 0 || runtime_version(&needed) != 0) return;
  // Versions of one major number run with each other.
  if (driver == 0 || driver / 1000 >= needed / 1000) return;
  throw Error::format(ErrorCode::failure,
                      "the NVIDIA driver of this machine supports CUDA {}, and libtorch needs {}: install a newer "
                      "driver, or say --device cpu",
                      version_text(driver), version_text(needed));
}

// libtorch 2.11 for CUDA 13 has no code for cards before Turing.
void check_card(const std::string& name, int device) {
  constexpr int kMajor = 75;  // cudaDevAttrComputeCapabilityMajor
  constexpr int kMinor = 76;
  constexpr int kLeast = 75;
  const auto attribute = runtime<int (*)(int*, int, int)>("cudaDeviceGetAttribute");
  int major = 0;
  int minor = 0;
  if (attribute == nullptr || attribute(&major, kMajor, device) != 0 || attribute(&minor, kMinor, device) != 0) return;
  if (major * 10 + minor >= kLeast) return;
  throw Error::format(ErrorCode::failure,
                      "--device {}: the card has compute capability {}.{}, and libtorch needs 7.5 or newer: use "
                      "another card, or say --device cpu",
                      name, major, minor);
}

// CUDA has a process's GPUs as its environment says when it is initialised.
int count_cuda_devices() {
  if (!load_cuda().empty()) {
    throw Error::format(
        ErrorCode::model_missing,
        "there is a GPU, but libtorch cannot use it: {}; run scripts/libtorch --cuda, or say --device cpu",
        load_cuda());
  }
  static const int count = [] {
    check_driver();
    const int found = static_cast<int>(at::detail::getCUDAHooks().deviceCount());
    // Its statistics are asked for before the first tensor.
    if (found > 0) at::globalContext().lazyInitDevice(at::kCUDA);
    choose_cuda_operators();
    return found;
  }();
  return count;
}

// Those that this process may use, and makes CUDA number so.
std::vector<Gpu> number_gpus(const Nvml& nvml) {
  std::vector<Gpu> allowed =
      allowed_gpus(nvml.gpus(), environment("CUDA_VISIBLE_DEVICES"), environment("NVIDIA_VISIBLE_DEVICES"));
  std::string uuids;
  for (const Gpu& gpu : allowed) uuids += (uuids.empty() ? "" : ",") + gpu.uuid;
  ::setenv("CUDA_VISIBLE_DEVICES", uuids.empty() ? "-1" : uuids.c_str(), 1);
  return allowed;
}

std::vector<Gpu> usable_gpus() {
  if (!has_driver()) return {};
  // Parts of GPUs (MIG) are named to CUDA alone.
  static const std::optional<Nvml> nvml =
      environment("CUDA_VISIBLE_DEVICES").find("MIG-") == std::string::npos ? Nvml::open() : std::nullopt;
  if (!nvml) return std::vector<Gpu>(static_cast<std::size_t>(count_cuda_devices()));
  static std::vector<Gpu> known = number_gpus(*nvml);
  for (const Gpu& now : nvml->gpus()) {
    const auto same = std::ranges::find(known, now.uuid, &Gpu::uuid);
    if (same != known.end()) same->free_bytes = now.free_bytes;
  }
  return known;
}

Device gpu(const std::string& name, const std::vector<Gpu>& gpus) {
  if (gpus.empty())
    throw Error::format(ErrorCode::usage,
                        "--device {}: this machine has no GPU that may be used; --device cpu needs none", name);
  const std::size_t index = choose_gpu(gpus, name);
  if (static_cast<int>(index) >= count_cuda_devices())
    throw Error::format(ErrorCode::failure, "--device {}: the driver has {} GPUs and CUDA only {}", name, gpus.size(),
                        count_cuda_devices());
  check_card(name, static_cast<int>(index));
  return {DeviceMemory({at::kCUDA, static_cast<c10::DeviceIndex>(index)}), gpus[index].uuid};
}

// SIZE[,taken=SIZE][,busy=SIZE:FILE][,uuid=NAME]
Device simulated(const std::string& text) {
  const auto size = [](std::string_view part) { return parse_size(part, "--device sim"); };
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at <= text.size(); at += parts.back().size() + 1) {
    parts.push_back(std::string_view(text).substr(at, text.find(',', at) - at));
  }
  DeviceMemory::Simulation simulation;
  std::string uuid;
  simulation.bytes = size(parts.front());
  for (const std::string_view part : std::span(parts).subspan(1)) {
    const std::string_view value = part.substr(std::min(part.size(), part.find('=') + 1));
    const std::string_view amount = value.substr(0, value.find(':'));
    if (part.starts_with("taken=")) {
      simulation.taken = size(value);
    } else if (part.starts_with("busy=") && amount.size() < value.size()) {
      simulation.busy = size(amount);
      simulation.busy_file = value.substr(amount.size() + 1);
    } else if (part.starts_with("uuid=") && value.find('/') == std::string_view::npos) {
      uuid = value;
    } else {
      throw Error::format(ErrorCode::usage, "--device sim:{}: '{}' is none of taken=SIZE, busy=SIZE:FILE, uuid=NAME",
                          text, part);
    }
  }
  return {DeviceMemory::simulate(std::move(simulation)), std::move(uuid)};
}

}  // namespace

Device find_device(const std::string& name) {
  constexpr std::string_view kSimulated = "sim:";
  // Also for the CPU, where it costs a third of a second: the next job may name a GPU. What goes wrong is said when one
  // does.
  if (has_driver()) load_cuda();
  if (name == "cpu") return {DeviceMemory(at::kCPU), {}};
  if (name.starts_with(kSimulated)) return simulated(name.substr(kSimulated.size()));
  if (!leaves_choice(name) && !name.starts_with("cuda:") && !name.starts_with("GPU-"))
    throw Error::format(ErrorCode::usage, "--device {}: not a device; there are auto, cpu, cuda:N and a GPU's UUID",
                        name);
  const std::vector<Gpu> gpus = usable_gpus();
  if (name == "auto" && gpus.empty()) return {DeviceMemory(at::kCPU), {}};
  return gpu(name, gpus);
}

}  // namespace step1x::engine
