#include "engine/model_precision.hpp"

#include <unistd.h>

namespace step1x::engine {

at::ScalarType choose_dtype(const ModelFiles& files, const DeviceMemory& memory) {
  if (!memory.device().is_cpu()) return at::kBFloat16;
  const std::int64_t needed =
      weights_bytes(files.transformer.table, at::kFloat) + weights_bytes(files.text_encoder.table, at::kFloat);
  return needed <= ::sysconf(_SC_PHYS_PAGES) / 4 * ::sysconf(_SC_PAGESIZE) ? at::kFloat : at::kBFloat16;
}

}  // namespace step1x::engine
