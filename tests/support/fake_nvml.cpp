// Stands in for NVIDIA's management library on machines without a driver. What it says is read anew for every question
// from the file that FAKE_NVML names: a line "UUID TOTAL FREE [PID USED]..." for each GPU, sizes in bytes, USED "-"
// where the driver does not tell.
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr int kSuccess = 0;
constexpr int kInvalid = 2;
constexpr int kNotFound = 6;
constexpr int kTooSmall = 7;

struct Memory {
  unsigned long long total, free, used;
};
struct Process {
  unsigned int pid;
  unsigned long long used;
  unsigned int gpu_instance, compute_instance;
};
struct Gpu {
  std::string uuid;
  Memory memory{};
  std::vector<Process> processes;
};

std::vector<Gpu> gpus() {
  const char* path = std::getenv("FAKE_NVML");
  std::ifstream file(path == nullptr ? "" : path);
  std::vector<Gpu> result;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Gpu gpu;
    words >> gpu.uuid >> gpu.memory.total >> gpu.memory.free;
    gpu.memory.used = gpu.memory.total - gpu.memory.free;
    unsigned int pid = 0;
    for (std::string used; words >> pid >> used;)
      gpu.processes.push_back({pid, used == "-" ? ~0ULL : std::stoull(used), 0, 0});
    result.push_back(gpu);
  }
  return result;
}

// A handle is the place in the list and one more.
void* handle(std::size_t index) {
  return reinterpret_cast<void*>(index + 1);
}

bool find(void* device, Gpu& gpu) {
  const auto all = gpus();
  const auto place = reinterpret_cast<std::size_t>(device);
  if (place == 0 || place > all.size()) return false;
  gpu = all[place - 1];
  return true;
}

}  // namespace

extern "C" {

int nvmlInit_v2() {
  const char* path = std::getenv("FAKE_NVML");
  return path != nullptr && std::ifstream(path).good() ? kSuccess : 9;  // the driver is not loaded
}

int nvmlShutdown() {
  return kSuccess;
}

int nvmlDeviceGetCount_v2(unsigned int* count) {
  *count = static_cast<unsigned int>(gpus().size());
  return kSuccess;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void** device) {
  if (index >= gpus().size()) return kInvalid;
  *device = handle(index);
  return kSuccess;
}

int nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
  const auto all = gpus();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].uuid != uuid) continue;
    *device = handle(i);
    return kSuccess;
  }
  return kNotFound;
}

int nvmlDeviceGetUUID(void* device, char* uuid, unsigned int length) {
  Gpu gpu;
  if (!find(device, gpu)) return kInvalid;
  if (length <= gpu.uuid.size()) return kTooSmall;
  std::memcpy(uuid, gpu.uuid.c_str(), gpu.uuid.size() + 1);
  return kSuccess;
}

int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
  Gpu gpu;
  if (!find(device, gpu)) return kInvalid;
  *memory = gpu.memory;
  return kSuccess;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned int* count, Process* processes) {
  Gpu gpu;
  if (!find(device, gpu)) return kInvalid;
  const unsigned int room = *count;
  *count = static_cast<unsigned int>(gpu.processes.size());
  if (room < *count) return kTooSmall;
  for (std::size_t i = 0; i < gpu.processes.size(); ++i) processes[i] = gpu.processes[i];
  return kSuccess;
}

}  // extern "C"
