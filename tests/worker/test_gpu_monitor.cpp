#include <doctest/doctest.h>

#include <cstdlib>
#include <functional>
#include <thread>

#include "support/temp_dir.hpp"
#include "worker/gpu_monitor.hpp"

using namespace step1x;
using namespace step1x::worker;

namespace {

// At most a minute, which only guards against hanging.
bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 6000; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace

TEST_CASE("what is watched is read again and again, and nothing else") {
  const test::TempDir dir;
  ::setenv("FAKE_NVML", dir.write("gpus", "GPU-a 800 300 12 90\nGPU-b 240 100 13 50\n").c_str(), 1);
  GpuMonitor monitor(STEP1X_FAKE_NVML);
  const GpuMonitor::Subject a{"GPU-a", 12};
  const GpuMonitor::Subject b{"GPU-b", 13};
  CHECK(!monitor.reading(a));
  monitor.watch({a});
  REQUIRE(eventually([&] { return monitor.reading(a).has_value(); }));
  CHECK(monitor.reading(a)->total_bytes == 800);
  CHECK(monitor.reading(a)->process_bytes == 90);
  CHECK(!monitor.reading(b));
  dir.write("gpus", "GPU-a 800 390\nGPU-b 240 100 13 50\n");
  CHECK(eventually([&] { return monitor.reading(a)->process_bytes == 0 && monitor.reading(a)->free_bytes == 390; }));
  monitor.watch({a, b});
  CHECK(eventually([&] { return monitor.reading(b).has_value(); }));
  monitor.watch({});
  CHECK(eventually([&] { return !monitor.reading(a) && !monitor.reading(b); }));
  monitor.watch({b});
  CHECK(eventually([&] { return monitor.reading(b).has_value(); }));
}

TEST_CASE("without a driver there is nothing to read, and nothing waits") {
  GpuMonitor monitor("no-such-library.so");
  monitor.watch({{"GPU-a", 12}});
  CHECK(!monitor.reading({"GPU-a", 12}));
}
