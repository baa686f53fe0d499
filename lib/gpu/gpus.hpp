// Which GPU a name means, among those that a job may use. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "gpu/nvml.hpp"

namespace step1x {

// What CUDA_VISIBLE_DEVICES leaves of them, in its order: a list of numbers (nvidia-smi's) and of UUIDs or beginnings
// of one. As CUDA has it, what follows the first entry that names no GPU is ignored, and a list with one twice leaves
// none. Empty: all of them; "-1": none.
std::vector<Gpu> visible_gpus(const std::vector<Gpu>& all, const std::string& visible);

// What NVIDIA_VISIBLE_DEVICES leaves of them. It is a container runtime's: within the container it has been applied,
// and its numbers are the host's. So a list that names a GPU that is not there, or more than once, says nothing.
std::vector<Gpu> container_gpus(const std::vector<Gpu>& all, const std::string& visible);

// What the two variables leave together: the first one counts if it is set.
std::vector<Gpu> allowed_gpus(const std::vector<Gpu>& all, const std::string& cuda, const std::string& container);

// Whether a name leaves it to us which GPU is taken.
bool leaves_choice(const std::string& name);

// The place in `gpus` of the one that a name means: "auto" and "cuda" the one with the most free memory, the first of
// equals; "cuda:N" the N-th; a UUID or a beginning of one that fits no other. REQUIRES: `gpus` is not empty.
// Throws Error(usage) with what there is.
std::size_t choose_gpu(const std::vector<Gpu>& gpus, const std::string& name);

}  // namespace step1x
