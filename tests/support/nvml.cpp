#include "nvml.hpp"

#include <cstddef>
#include <cstdio>
#include <cstring>

namespace {

using namespace stand_in_nvml;

constexpr int kSuccess = 0;
constexpr int kInvalid = 2;
constexpr int kNotSupported = 3;
constexpr int kNotFound = 6;
constexpr int kTooSmall = 7;
constexpr int kDriverNotLoaded = 9;

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

template <typename Wanted, typename Make>
int list_processes(void* device, unsigned int* count, Wanted* processes, const Make& make) {
  Gpu gpu;
  if (!find(device, gpu)) return kInvalid;
  const unsigned int room = *count;
  *count = static_cast<unsigned int>(gpu.processes.size());
  if (room < *count) return kTooSmall;
  for (std::size_t i = 0; i < gpu.processes.size(); ++i) processes[i] = make(gpu.processes[i]);
  return kSuccess;
}

}  // namespace

extern "C" {

int nvmlInit_v2() {
  return has_driver() ? kSuccess : kDriverNotLoaded;
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

// "DOMAIN:BUS:DEVICE.FUNCTION" in hexadecimal digits: they are on buses 1, 2, ...
int nvmlDeviceGetHandleByPciBusId_v2(const char* id, void** device) {
  unsigned domain = 0;
  unsigned bus = 0;
  if (std::sscanf(id, "%x:%x:", &domain, &bus) != 2 || bus == 0) return kInvalid;
  return nvmlDeviceGetHandleByIndex_v2(bus - 1, device) == kSuccess ? kSuccess : kNotFound;
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
  return list_processes(device, count, processes, [](const Process& process) { return process; });
}

// The first version of it, which libtorch asks where memory has run out.
int nvmlDeviceGetComputeRunningProcesses(void* device, unsigned int* count, FirstProcess* processes) {
  return list_processes(device, count, processes,
                        [](const Process& process) { return FirstProcess{process.pid, process.used}; });
}

int nvmlSystemGetCudaDriverVersion_v2(int* version) {
  *version = 13000;
  return kSuccess;
}

// libtorch wants them to be there.
int nvmlDeviceGetNvLinkRemoteDeviceType() {
  return kNotSupported;
}
int nvmlDeviceGetNvLinkRemotePciInfo_v2() {
  return kNotSupported;
}

}  // extern "C"
