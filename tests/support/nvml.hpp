// NVIDIA's management library on machines without a driver: its entry points are in nvml.cpp, and what they answer is
// whatever `gpus` says at that moment, which each stand-in defines for itself.
#pragma once

#include <string>
#include <vector>

namespace stand_in_nvml {

// As the library's own structures: of processes, those of version 3 and 1.
struct Memory {
  unsigned long long total, free, used;
};
struct Process {
  unsigned int pid;
  unsigned long long used;
  unsigned int gpu_instance, compute_instance;
};

struct FirstProcess {
  unsigned int pid;
  unsigned long long used;
};

struct Gpu {
  std::string uuid;
  Memory memory{};
  std::vector<Process> processes;
};

bool has_driver();
std::vector<Gpu> gpus();

}  // namespace stand_in_nvml
