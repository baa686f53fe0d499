// Entry points of the CUDA runtime: streams, events and kernels.
#include <chrono>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "memory.hpp"
#include "runtime.hpp"
#include "settings.hpp"
#include "stand_in.hpp"
#include "streams.hpp"

using namespace stand_in;

struct CUevent_st {
  bool timing = true;
  std::mutex mutex;
  std::shared_ptr<Moment> moment;

  std::shared_ptr<Moment> recorded() {
    const std::lock_guard lock(mutex);
    return moment;
  }
};

namespace {

enum SkippedWait : long long { kDefaultStream = 1, kOtherStreams = 2, kHostForEvent = 4, kHostForStream = 8 };

bool skips(SkippedWait which) {
  return (setting(Setting::skip_waits) & which) != 0;
}

// A kernel that operators.cpp has not replaced is counted and computes nothing.
struct Kernels {
  std::mutex mutex;
  std::unordered_map<const void*, std::string> names;
};
Kernels& kernels() {
  static Kernels& all = *new Kernels;
  return all;
}

cudaError_t launch(const void* kernel, cudaStream_t stream) {
  {
    const std::lock_guard lock(kernels().mutex);
    count_call("kernel " + kernels().names[kernel]);
  }
  count_call("kernels not replaced");
  enqueue(stream_of(stream), [] {});
  return cudaSuccess;
}

struct Configuration {
  dim3 grid, block;
  std::size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

}  // namespace

extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  STAND_IN_ENTER();
  make_context(current_device());
  *stream = make_stream(current_device());
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  STAND_IN_ENTER();
  wait_for(stream_of(stream));
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  STAND_IN_ENTER();
  return is_idle(stream_of(stream)) ? cudaSuccess : result(cudaErrorNotReady);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  STAND_IN_ENTER();
  if (!skips(kHostForStream)) wait_for(stream_of(stream));
  return result(broken());
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  STAND_IN_ENTER();
  Stream& stream = stream_of(handle);
  if (skips(is_default(stream) ? kDefaultStream : kOtherStreams)) return cudaSuccess;
  if (auto moment = event->recorded()) wait_within(stream, std::move(moment));
  return cudaSuccess;
}

cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void* data, unsigned) {
  STAND_IN_ENTER();
  enqueue(stream_of(stream), [=] { callback(stream, cudaSuccess, data); });
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  STAND_IN_ENTER();
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t*, const cudaGraphNode_t**, const cudaGraphEdgeData**, std::size_t*) {
  STAND_IN_ENTER();
  *status = cudaStreamCaptureStatusNone;
  if (id != nullptr) *id = 0;
  return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode*) {
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  STAND_IN_ENTER();
  make_context(current_device());
  *event = new CUevent_st;
  (*event)->timing = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, 0);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  STAND_IN_ENTER();
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  STAND_IN_ENTER();
  auto moment = record(stream_of(stream));
  const std::lock_guard lock(event->mutex);
  event->moment = std::move(moment);
  return cudaSuccess;
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  return cudaEventRecord(event, stream);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  STAND_IN_ENTER();
  const auto moment = event->recorded();
  return !moment || is_past(*moment) ? cudaSuccess : result(cudaErrorNotReady);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  STAND_IN_ENTER();
  const auto moment = event->recorded();
  if (moment && !skips(kHostForEvent)) wait_for(*moment);
  return result(broken());
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  STAND_IN_ENTER();
  const auto from = start->recorded();
  const auto to = end->recorded();
  if (!from || !to || !start->timing || !end->timing) return result(cudaErrorInvalidResourceHandle);
  if (!is_past(*from) || !is_past(*to)) return result(cudaErrorNotReady);
  *milliseconds = std::chrono::duration<float, std::milli>(time_of(*to) - time_of(*from)).count();
  return cudaSuccess;
}

// ---- kernels

void** __cudaRegisterFatBinary(void*) {
  static void* handle = nullptr;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterVar(void**, char*, char*, const char*, int, std::size_t, int, int) {}

void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  const std::lock_guard lock(kernels().mutex);
  kernels().names[host] = name;
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared, void* stream) {
  const Configuration now = configurations.back();
  configurations.pop_back();
  *grid = now.grid;
  *block = now.block;
  *shared = now.shared;
  *static_cast<cudaStream_t*>(stream) = now.stream;
  return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = static_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3, dim3, void**, std::size_t, cudaStream_t stream) {
  STAND_IN_ENTER();
  return launch(kernel, stream);
}

cudaError_t cudaLaunchKernel(const void* kernel, dim3, dim3, void**, std::size_t, cudaStream_t stream) {
  STAND_IN_ENTER();
  return launch(kernel, stream);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* configuration, const void* kernel, void**) {
  STAND_IN_ENTER();
  return launch(kernel, configuration->stream);
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  STAND_IN_ENTER();
  *attributes = {};
  attributes->maxThreadsPerBlock = 1024;
  attributes->binaryVersion = attributes->ptxVersion = 90;
  attributes->maxDynamicSharedSizeBytes = 227 << 10;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) {
  STAND_IN_ENTER();
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int, std::size_t,
                                                                   unsigned) {
  STAND_IN_ENTER();
  *blocks = 1;
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int, std::size_t) {
  STAND_IN_ENTER();
  *blocks = 1;
  return cudaSuccess;
}

}  // extern "C"
