#include "gpu/nvml.hpp"

#include <dlfcn.h>

#include <array>

#include "gpu/driver_library.hpp"

namespace step1x {
namespace {

using Device = void*;
constexpr int kNvmlSuccess = 0;
constexpr int kInsufficientSize = 7;
constexpr unsigned long long kUnknown = ~0ULL;

}  // namespace

struct Nvml::Library {
  struct Memory {
    unsigned long long total;
    unsigned long long free;
    unsigned long long used;
  };

  struct Process {
    unsigned int pid;
    unsigned long long used;  // kUnknown where the driver may not tell
    unsigned int gpu_instance;
    unsigned int compute_instance;
  };

  Library() = default;
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() {
    if (ready) shutdown();
    if (handle != nullptr) ::dlclose(handle);
  }

  template <typename Function>
  bool find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(handle, name));
    return function != nullptr;
  }
  bool load(const char* library) {
    handle = open_driver_library(library);
    return handle != nullptr && find(init, "nvmlInit_v2") && find(shutdown, "nvmlShutdown") &&
           find(count, "nvmlDeviceGetCount_v2") && find(by_index, "nvmlDeviceGetHandleByIndex_v2") &&
           find(by_uuid, "nvmlDeviceGetHandleByUUID") && find(uuid, "nvmlDeviceGetUUID") &&
           find(memory, "nvmlDeviceGetMemoryInfo") && find(processes, "nvmlDeviceGetComputeRunningProcesses_v3");
  }

  void* handle = nullptr;
  bool ready = false;
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*count)(unsigned int*) = nullptr;
  int (*by_index)(unsigned int, Device*) = nullptr;
  int (*by_uuid)(const char*, Device*) = nullptr;
  int (*uuid)(Device, char*, unsigned int) = nullptr;
  int (*memory)(Device, Memory*) = nullptr;
  int (*processes)(Device, unsigned int*, Process*) = nullptr;
};

std::optional<Nvml> Nvml::open(const char* library) {
  auto loaded = std::make_shared<Library>();
  if (!loaded->load(library) || loaded->init() != kNvmlSuccess) return std::nullopt;
  loaded->ready = true;
  return Nvml(std::move(loaded));
}

std::vector<Gpu> Nvml::gpus() const {
  unsigned int count = 0;
  if (library_->count(&count) != kNvmlSuccess) return {};
  std::vector<Gpu> found;
  for (unsigned int i = 0; i < count; ++i) {
    Device device = nullptr;
    std::array<char, 96> uuid{};  // NVML_DEVICE_UUID_V2_BUFFER_SIZE
    Library::Memory memory{};
    if (library_->by_index(i, &device) != kNvmlSuccess) continue;
    if (library_->uuid(device, uuid.data(), static_cast<unsigned int>(uuid.size())) != kNvmlSuccess) continue;
    if (library_->memory(device, &memory) != kNvmlSuccess) continue;
    found.push_back({uuid.data(), memory.total, memory.free});
  }
  return found;
}

std::optional<std::uint64_t> Nvml::used_by(const std::string& uuid, pid_t pid) const {
  Device device = nullptr;
  if (library_->by_uuid(uuid.c_str(), &device) != kNvmlSuccess) return std::nullopt;
  // It grows while we ask.
  std::vector<Library::Process> processes(64);
  auto count = static_cast<unsigned int>(processes.size());
  int result = library_->processes(device, &count, processes.data());
  while (result == kInsufficientSize && processes.size() < 65'536) {
    processes.resize(processes.size() * 4);
    count = static_cast<unsigned int>(processes.size());
    result = library_->processes(device, &count, processes.data());
  }
  if (result != kNvmlSuccess) return std::nullopt;
  processes.resize(count);
  for (const Library::Process& process : processes) {
    if (static_cast<pid_t>(process.pid) != pid) continue;
    return process.used == kUnknown ? std::nullopt : std::optional<std::uint64_t>(process.used);
  }
  return 0;
}

}  // namespace step1x
