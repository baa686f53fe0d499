// Stands in for NVIDIA's management library on machines without a driver. What it says is read anew for every question
// from the file that FAKE_NVML names: a line "UUID TOTAL FREE [PID USED]..." for each GPU, sizes in bytes, USED "-"
// where the driver does not tell.
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "nvml.hpp"

namespace stand_in_nvml {

bool has_driver() {
  const char* path = std::getenv("FAKE_NVML");
  return path != nullptr && std::ifstream(path).good();
}

std::vector<Gpu> gpus() {
  const char* path = std::getenv("FAKE_NVML");
  std::ifstream file(path == nullptr ? "" : path);
  std::vector<Gpu> result;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Gpu gpu;
    words >> gpu.uuid >> gpu.memory.total >> gpu.memory.free;
    gpu.memory.used = gpu.memory.total - gpu.memory.free;
    unsigned int pid = 0;
    for (std::string used; words >> pid >> used;)
      gpu.processes.push_back({pid, used == "-" ? ~0ULL : std::stoull(used), 0, 0});
    result.push_back(gpu);
  }
  return result;
}

}  // namespace stand_in_nvml
