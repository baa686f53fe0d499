// Entry points of the CUDA runtime: errors, devices, memory, copies. Semantics are those of
// docs.nvidia.com/cuda/cuda-runtime-api, as far as libtorch and step1x use them.
#include "runtime.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "machine.hpp"
#include "memory.hpp"
#include "settings.hpp"
#include "stand_in.hpp"
#include "streams.hpp"

namespace stand_in {
namespace {

thread_local cudaError_t last_error = cudaSuccess;
std::atomic<int> broken_by{cudaSuccess};

// ATen's kernels are replaced as soon as a process that has libtorch_cuda asks for a device.
void replace_kernels() {
  static thread_local bool inside = false;
  static std::atomic<bool> started{false};
  if (inside || started.exchange(true)) return;
  inside = true;
  Dl_info self{};
  ::dladdr(reinterpret_cast<const void*>(&stand_in_called), &self);
  const auto path = std::filesystem::path(self.dli_fname).parent_path() / "libstand_in_operators.so";
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    std::fprintf(stderr, "stand-in for CUDA: %s\n", ::dlerror());
    std::abort();
  }
  reinterpret_cast<void (*)()>(::dlsym(library, "stand_in_replace_kernels"))();
  inside = false;
}

// The machine's first device is on bus 1.
int pci_bus(int device) {
  return visible_devices().at(static_cast<std::size_t>(device)) + 1;
}

void copy_now(void* to, const void* from, std::size_t bytes) {
  for (const void* end : {static_cast<const void*>(to), from}) {
    if (is_device(end) && !is_allocated(end, bytes)) return break_device(cudaErrorIllegalAddress);
  }
  std::memmove(shadow(to), shadow(from), bytes);
}

cudaError_t copy(void* to, const void* from, std::size_t bytes, cudaStream_t handle) {
  if (refuses(Setting::fail_copy)) return result(cudaErrorInvalidValue);
  if (bytes == 0) return cudaSuccess;
  Stream& stream = stream_of(handle);
  const auto is_pageable = [&](const void* end) { return !is_device(end) && !is_pinned(end, bytes); };
  if (is_pageable(from) && is_device(to)) {
    // The driver takes it into a buffer of its own, so the source may change when the call returns.
    const auto* start = static_cast<const char*>(from);
    auto staged = std::make_shared<std::vector<char>>(start, start + bytes);
    enqueue(stream, [=] { copy_now(to, staged->data(), bytes); });
    return cudaSuccess;
  }
  enqueue(stream, [=] { copy_now(to, from, bytes); });
  if (is_pageable(to)) wait_for(stream);
  return cudaSuccess;
}

}  // namespace

cudaError_t broken() {
  return static_cast<cudaError_t>(broken_by.load());
}

void break_device(cudaError_t error) {
  int none = cudaSuccess;
  broken_by.compare_exchange_strong(none, error);
}

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t enter(const char* name) {
  count_call(name);
  return result(broken());
}

}  // namespace stand_in

using namespace stand_in;

extern "C" {

void stand_in_break(int error) {
  break_device(static_cast<cudaError_t>(error));
}

int stand_in_has_context(int device) {
  return has_context(device) ? 1 : 0;
}

long long stand_in_count(const char* name) {
  const std::string what = name;
  if (what == "used bytes") return static_cast<long long>(used_bytes(current_device()));
  if (what == "used bytes of all") {
    std::size_t sum = 0;
    for (std::size_t device = 0; device < visible_devices().size(); ++device)
      sum += used_bytes(static_cast<int>(device));
    return static_cast<long long>(sum);
  }
  if (what == "pinned bytes") return static_cast<long long>(pinned_bytes());
  return calls_of(what);
}

// ---- errors

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    default:
      return "another error";
  }
}

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : cudaGetErrorName(error);
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error == cudaSuccess ? broken() : last_error;
  last_error = broken();
  return error;
}

cudaError_t cudaPeekAtLastError() {
  return last_error == cudaSuccess ? broken() : last_error;
}

// ---- devices

cudaError_t cudaGetDeviceCount(int* count) {
  count_call(__func__);
  *count = 0;
  if (setting(Setting::driver) < 13000) return result(cudaErrorInsufficientDriver);
  replace_kernels();
  *count = static_cast<int>(visible_devices().size());
  return *count > 0 ? cudaSuccess : result(cudaErrorNoDevice);
}

cudaError_t cudaGetDevice(int* device) {
  count_call(__func__);
  *device = current_device();
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  STAND_IN_ENTER();
  if (device < 0 || device >= static_cast<int>(visible_devices().size())) return result(cudaErrorInvalidDevice);
  set_current_device(device);
  make_context(device);
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  count_call(__func__);
  *version = static_cast<int>(setting(Setting::driver));
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

// An H200's, as far as somebody looks at it.
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  count_call(__func__);
  *properties = {};
  std::strcpy(properties->name, "Stand-in");
  properties->totalGlobalMem = static_cast<std::size_t>(setting(Setting::bytes));
  properties->major = static_cast<int>(setting(Setting::capability)) / 10;
  properties->minor = static_cast<int>(setting(Setting::capability)) % 10;
  properties->pciBusID = pci_bus(device);
  properties->multiProcessorCount = 132;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = properties->maxThreadsDim[0] = properties->maxThreadsDim[1] = 1024;
  properties->maxThreadsDim[2] = 64;
  properties->maxGridSize[0] = 0x7fffffff;
  properties->maxGridSize[1] = properties->maxGridSize[2] = 65535;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->sharedMemPerBlock = 48 << 10;
  properties->sharedMemPerBlockOptin = 227 << 10;
  properties->sharedMemPerMultiprocessor = 228 << 10;
  properties->regsPerBlock = properties->regsPerMultiprocessor = 65536;
  properties->l2CacheSize = 50 << 20;
  properties->unifiedAddressing = properties->concurrentKernels = properties->canMapHostMemory = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  count_call(__func__);
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = static_cast<int>(setting(Setting::capability)) / 10;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = static_cast<int>(setting(Setting::capability)) % 10;
      break;
    case cudaDevAttrHostRegisterReadOnlySupported:
      *value = static_cast<int>(setting(Setting::read_only_register));
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = 132;
      break;
    case cudaDevAttrWarpSize:
      *value = 32;
      break;
    case cudaDevAttrMaxThreadsPerBlock:
      *value = 1024;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = 227 << 10;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = 48 << 10;
      break;
    default:
      *value = 0;
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* id, int size, int device) {
  STAND_IN_ENTER();
  std::snprintf(id, static_cast<std::size_t>(size), "0000:%02x:00.0", static_cast<unsigned>(pci_bus(device)));
  return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
  STAND_IN_ENTER();
  *can = 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  STAND_IN_ENTER();
  if (least != nullptr) *least = 0;
  if (greatest != nullptr) *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  STAND_IN_ENTER();
  wait_for_all();
  return result(broken());
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* found) {
  count_call(__func__);
  *function = ::dlsym(RTLD_DEFAULT, name);
  if (found != nullptr)
    *found = *function != nullptr ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

// ---- memory

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  STAND_IN_ENTER();
  make_context(current_device());
  *free = free_bytes(current_device());
  *total = static_cast<std::size_t>(setting(Setting::bytes));
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** start, std::size_t bytes) {
  STAND_IN_ENTER();
  make_context(current_device());
  if (refuses(Setting::fail_malloc)) return result(cudaErrorMemoryAllocation);
  *start = allocate(current_device(), bytes);
  return *start != nullptr ? cudaSuccess : result(cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void* start) {
  STAND_IN_ENTER();
  make_context(current_device());
  if (start == nullptr) return cudaSuccess;
  wait_for_all();
  return release(start) ? cudaSuccess : result(cudaErrorInvalidValue);
}

cudaError_t cudaHostAlloc(void** start, std::size_t bytes, unsigned) {
  STAND_IN_ENTER();
  make_context(current_device());
  if (refuses(Setting::fail_host_alloc)) return result(cudaErrorMemoryAllocation);
  *start = allocate_pinned(bytes);
  return *start != nullptr ? cudaSuccess : result(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void* start) {
  STAND_IN_ENTER();
  wait_for_all();
  return release_pinned(start) ? cudaSuccess : result(cudaErrorInvalidValue);
}

cudaError_t cudaHostRegister(void* start, std::size_t bytes, unsigned) {
  STAND_IN_ENTER();
  make_context(current_device());
  if (refuses(Setting::fail_register)) return result(cudaErrorMemoryAllocation);
  return pin(start, bytes) ? cudaSuccess : result(cudaErrorHostMemoryAlreadyRegistered);
}

cudaError_t cudaHostUnregister(void* start) {
  STAND_IN_ENTER();
  wait_for_all();
  return unpin(start) ? cudaSuccess : result(cudaErrorHostMemoryNotRegistered);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  STAND_IN_ENTER();
  *attributes = {};
  auto* start = const_cast<void*>(address);
  if (is_device(address)) {
    attributes->type = cudaMemoryTypeDevice;
    attributes->device = device_of(address);
    attributes->devicePointer = start;
  } else if (is_pinned(address, 1)) {
    attributes->type = cudaMemoryTypeHost;
    attributes->devicePointer = attributes->hostPointer = start;
  } else {
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->hostPointer = start;
    attributes->device = -1;
  }
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  STAND_IN_ENTER();
  return copy(to, from, bytes, stream);
}

cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, std::size_t bytes, cudaStream_t stream) {
  STAND_IN_ENTER();
  return copy(to, from, bytes, stream);
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind) {
  STAND_IN_ENTER();
  const cudaError_t error = copy(to, from, bytes, nullptr);
  wait_for(stream_of(nullptr));
  return error == cudaSuccess ? result(broken()) : error;
}

cudaError_t cudaMemsetAsync(void* start, int value, std::size_t bytes, cudaStream_t stream) {
  STAND_IN_ENTER();
  enqueue(stream_of(stream), [=] {
    if (!is_allocated(start, bytes)) return break_device(cudaErrorIllegalAddress);
    std::memset(shadow(start), value, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaMemset(void* start, int value, std::size_t bytes) {
  return cudaMemsetAsync(start, value, bytes, nullptr);
}

}  // extern "C"
