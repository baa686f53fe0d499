#include "support/tensor_memory.hpp"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <atomic>

namespace step1x::test {

struct TensorMemory::Counter : c10::MemoryReportingInfoBase {
  void reportMemoryUsage(void* /*place*/, std::int64_t /*size*/, std::size_t allocated, std::size_t /*reserved*/,
                         c10::Device /*device*/) override {
    now = allocated;
    peak = std::max(peak.load(), allocated);
  }
  bool memoryProfilingEnabled() const override { return true; }
  std::atomic<std::size_t> now = 0;
  std::atomic<std::size_t> peak = 0;
};

TensorMemory::TensorMemory() : counter_(std::make_shared<Counter>()) {
  c10::ThreadLocalDebugInfo::_push(c10::DebugInfoKind::PROFILER_STATE, counter_);
}

TensorMemory::~TensorMemory() {
  c10::ThreadLocalDebugInfo::_pop(c10::DebugInfoKind::PROFILER_STATE);
}

std::size_t TensorMemory::peak() const {
  return counter_->peak;
}

std::size_t TensorMemory::now() const {
  return counter_->now;
}

void TensorMemory::restart() {
  counter_->peak = counter_->now.load();
}

}  // namespace step1x::test
