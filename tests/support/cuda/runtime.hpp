// What the entry points of the runtime share: the error of the thread, and the one that never goes away.
#pragma once

#include <cuda_runtime_api.h>

namespace stand_in {

// Counts the call; what is returned, if not cudaSuccess, is its result.
cudaError_t enter(const char* name);
// Remembers it as the thread's last error.
cudaError_t result(cudaError_t error);
cudaError_t broken();
void break_device(cudaError_t error);

}  // namespace stand_in

// The first line of an entry point.
#define STAND_IN_ENTER() \
  if (const cudaError_t error = stand_in::enter(__func__); error != cudaSuccess) return error
