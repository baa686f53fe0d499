#include "device/device_memory.hpp"

#include <ATen/ops/zeros.h>

#include "base/error.hpp"
#include "support/doctest_with_torch.hpp"

using namespace step1x;

TEST_CASE("a simulated device runs out of memory at its size, says so, and has it back afterwards") {
  const DeviceMemory memory = DeviceMemory::simulate(10 << 20);
  CHECK(memory.separate());
  CHECK(memory.free_bytes() == 10 << 20);
  CHECK(memory.device().is_cpu());
  at::Tensor first = memory.allocate(6 << 20);
  first.zero_();
  CHECK(memory.counters().allocated_bytes == 6 << 20);
  CHECK_THROWS_WITH_AS(memory.allocate(5 << 20), doctest::Contains("5.0 MiB needed, 4.0 MiB of 10.0 MiB free"), Error);
  CHECK(memory.counters().allocated_bytes == 6 << 20);
  const at::Tensor second = memory.allocate(4 << 20);
  first = at::Tensor();
  CHECK(memory.counters().allocated_bytes == 4 << 20);
}

TEST_CASE("the CPU has no memory of its own") {
  const DeviceMemory memory((at::Device(at::kCPU)));
  CHECK(!memory.separate());
  CHECK(memory.allocate(100).numel() == 100);
  CHECK(memory.counters().allocated_bytes == 0);
}
