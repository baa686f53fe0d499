// What NVIDIA's management library says of this machine's GPUs: without a CUDA context, and so without taking memory on
// any of them. Loaded when it is opened, because most machines have none. Thread-safe. Nothing throws: a GPU that
// does not answer is left out.
//
// The functions and structures are those of the library's ABI, version 2 and 3 (docs.nvidia.com/deploy/nvml-api).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace step1x {

struct Gpu {
  std::string uuid;  // "GPU-" and 32 hexadecimal digits in groups
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
};

class Nvml {
 public:
  // nullopt: no such library, or no driver behind it.
  static std::optional<Nvml> open(const char* library = "libnvidia-ml.so.1");

  // In the order of the PCI bus, which is how nvidia-smi numbers them.
  std::vector<Gpu> gpus() const;
  // What this process has on that GPU, its context included; 0 when it has nothing there. nullopt: the driver does not
  // tell, as in a container with process numbers of its own.
  std::optional<std::uint64_t> used_by(const std::string& uuid, pid_t pid) const;

 private:
  struct Library;
  explicit Nvml(std::shared_ptr<const Library> library) : library_(std::move(library)) {}

  std::shared_ptr<const Library> library_;
};

}  // namespace step1x
