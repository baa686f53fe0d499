// In which type a model's transformer and text encoder are held and computed with.
#pragma once

#include "device/device_memory.hpp"
#include "model/model_files.hpp"

namespace step1x::engine {

// bf16 on a GPU, as the reference has it. On the CPU float32, which is the reference's other form, where the weights
// take no more than a quarter of the machine's memory; else bf16. The same model gives the same on the same machine,
// whatever else is running.
at::ScalarType choose_dtype(const ModelFiles& files, const DeviceMemory& memory);

}  // namespace step1x::engine
