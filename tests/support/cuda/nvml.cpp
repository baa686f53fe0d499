// NVIDIA's management library as the stand-in for CUDA has it: of the machine's devices it says what the processes on
// them hold by the runtime's own account (machine.hpp). Without STAND_IN_MACHINE it is not found (run.sh), as in a
// container that has not been given it.
#include "support/nvml.hpp"

#include <algorithm>

#include "machine.hpp"
#include "settings.hpp"

namespace stand_in_nvml {

bool has_driver() {
  return stand_in::is_shared();
}

std::vector<Gpu> gpus() {
  using stand_in::Setting;
  std::vector<Gpu> result;
  for (int i = 0; i < static_cast<int>(stand_in::setting(Setting::devices)); ++i) {
    Gpu gpu{stand_in::uuid_of(i), {}, {}};
    auto used = static_cast<unsigned long long>(stand_in::setting(Setting::taken));
    for (const stand_in::Holder& holder : stand_in::holders(i)) {
      gpu.processes.push_back({holder.pid, holder.bytes, 0, 0});
      used += holder.bytes;
    }
    const auto total = static_cast<unsigned long long>(stand_in::setting(Setting::bytes));
    gpu.memory = {total, total - std::min(total, used), std::min(total, used)};
    result.push_back(std::move(gpu));
  }
  return result;
}

}  // namespace stand_in_nvml
