// Which device a job's `device` means, on this machine and in this process. libtorch_cuda is loaded the first time that
// a GPU is looked for and there is one. Main thread only. Throws Error(usage) for a name that no device has.
#pragma once

#include <cstdint>
#include <string>

#include "model/aten.hpp"

namespace step1x::engine {

at::Device find_device(const std::string& name);

struct DeviceMemory {
  std::int64_t allocated_bytes = 0;
  std::int64_t reserved_bytes = 0;
};

// libtorch's own counters; nothing for the CPU.
DeviceMemory device_memory(at::Device device);
// Gives memory that libtorch keeps for later back to the device.
void empty_cache(at::Device device);

}  // namespace step1x::engine
