#include "devices.hpp"

#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <span>
#include <vector>

#include "base/error.hpp"
#include "base/size.hpp"
#include "memory/gpus.hpp"

namespace step1x::engine {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool has_driver() {
  return ::access("/dev/nvidiactl", F_OK) == 0;
}

// CUDA has a process's GPUs as its environment says when it is loaded.
int load_cuda() {
  static const int count = [] {
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
  if (!nvml) return std::vector<Gpu>(static_cast<std::size_t>(load_cuda()));
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
  if (static_cast<int>(index) >= load_cuda())
    throw Error::format(ErrorCode::failure, "--device {}: the driver has {} GPUs and CUDA only {}", name, gpus.size(),
                        load_cuda());
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
