#include "model_precision.hpp"

#include <cstdint>
#include <fstream>
#include <string>

#include "weights/checkpoint.hpp"

namespace step1x::engine {
namespace {

std::uint64_t elements(const Checkpoint& checkpoint) {
  std::uint64_t count = 0;
  for (const auto& [name, entry] : checkpoint.tensors()) {
    std::uint64_t product = 1;
    for (const std::int64_t side : entry.tensor->shape) product *= static_cast<std::uint64_t>(side);
    count += product;
  }
  return count;
}

// MemAvailable of /proc/meminfo, in bytes; 0 where it cannot be read.
std::uint64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  std::uint64_t kibibytes = 0;
  while (file >> key >> kibibytes) {
    if (key == "MemAvailable:") return kibibytes * 1024;
    file.ignore(256, '\n');
  }
  return 0;
}

}  // namespace

at::ScalarType choose_dtype(const ModelLayout& layout, at::Device device) {
  if (!device.is_cpu()) return at::kBFloat16;
  const std::uint64_t count = elements(Checkpoint(layout.transformer)) + elements(Checkpoint(layout.text_encoder));
  return count * sizeof(float) <= available_memory() / 4 ? at::kFloat : at::kBFloat16;
}

}  // namespace step1x::engine
