// Which device a job's `device` means, on this machine and in this process. libtorch_cuda is loaded the first time that
// a GPU is looked for and there is one. Main thread only. Throws Error(usage) for a name that no device has.
#pragma once

#include <string>

#include "memory/device_memory.hpp"

namespace step1x::engine {

DeviceMemory find_device(const std::string& name);

}  // namespace step1x::engine
