// Which device a job's `device` means, on this machine and in this process. GPUs are counted by NVML, which takes no
// memory on them, in the order of the PCI bus and as far as CUDA_VISIBLE_DEVICES and NVIDIA_VISIBLE_DEVICES allow; from
// then on these are CUDA's numbers too. libtorch_cuda is loaded when a GPU is taken. Main thread only. Throws
// Error(usage) for a name that no device has.
#pragma once

#include <string>

#include "device/device_memory.hpp"

namespace step1x::engine {

struct Device {
  DeviceMemory memory;
  // Of a GPU; of a simulated device what ",uuid=" says. Empty: none, or the driver does not tell.
  std::string uuid;
};

// "auto" and "cuda" are looked at anew each time: the GPU with the most free memory may be another one.
Device find_device(const std::string& name);

}  // namespace step1x::engine
