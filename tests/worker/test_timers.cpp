#include <doctest/doctest.h>

#include "base/error.hpp"
#include "worker/timers.hpp"

using namespace step1x;
using namespace step1x::worker;
using namespace std::chrono_literals;

namespace {

std::string next(const Timers& timers, const Situation& now) {
  const auto found = next_transition(timers, now);
  return found ? std::string(name(found->transition)) + " " + std::to_string(found->in.count()) : "nothing";
}

Situation on_gpu(Duration idle) {
  return {.location = Location::gpu, .engine = true, .idle = idle, .quiet = idle};
}
Situation in_ram(Duration idle) {
  return {.location = Location::cpu, .engine = true, .idle = idle, .quiet = idle};
}
Situation empty(Duration quiet) {
  return {.idle = quiet, .quiet = quiet};
}

}  // namespace

TEST_CASE("by default the model leaves the GPU at once, the engine after a minute, the worker after half an hour") {
  const Timers timers;
  CHECK(next(timers, on_gpu(0ms)) == "offload 0");
  CHECK(next(timers, in_ram(0ms)) == "engine_exit 60000");
  CHECK(next(timers, in_ram(59'999ms)) == "engine_exit 1");
  CHECK(next(timers, in_ram(60s)) == "engine_exit 0");
  CHECK(next(timers, in_ram(2h)) == "engine_exit 0");
  CHECK(next(timers, empty(0ms)) == "worker_exit 1800000");
}

TEST_CASE("a model in the host arena outlives its engine for ten minutes, and the worker waits for that") {
  const Timers timers;
  Situation now = in_ram(0ms);
  now.arena = true;
  CHECK(next(timers, now) == "engine_exit 60000");
  now.engine = false;
  now.idle = 60s;
  CHECK(next(timers, now) == "release 540000");
  now.idle = 10min;
  CHECK(next(timers, now) == "release 0");
}

TEST_CASE("of the engine's end and the arena's the earlier comes first, and either may be never") {
  Timers timers;
  Situation now = in_ram(0ms);
  now.arena = true;
  timers.host_timeout = 30s;
  CHECK(next(timers, now) == "release 30000");
  timers.host_timeout = kNever;
  CHECK(next(timers, now) == "engine_exit 60000");
  now.engine = false;
  CHECK(next(timers, now) == "nothing");
  now.engine = true;
  timers = Timers();
  timers.idle_timeout = kNever;
  CHECK(next(timers, now) == "release 600000");
}

TEST_CASE("a model that has no place in RAM stays on the GPU until the engine goes") {
  Timers timers;
  Situation now = on_gpu(0ms);
  now.only_on_device = true;
  CHECK(next(timers, now) == "engine_exit 60000");
  timers.auto_monitor = false;
  CHECK(next(timers, now) == "nothing");
}

TEST_CASE("nothing happens while there is work or a lease") {
  Situation now = on_gpu(1h);
  now.busy = true;
  CHECK(next(Timers(), now) == "nothing");
}

TEST_CASE("zero is at once and never is never") {
  Timers timers;
  timers.offload_delay = kNever;
  CHECK(next(timers, on_gpu(24h)) == "nothing");
  timers.idle_timeout = kNever;
  CHECK(next(timers, in_ram(24h)) == "nothing");
  timers.idle_timeout = 0ms;
  CHECK(next(timers, in_ram(0ms)) == "engine_exit 0");
  timers.exit_timeout = kNever;
  CHECK(next(timers, empty(24h)) == "nothing");
}

TEST_CASE("the monitor switched off stops the idle timers, not the offload after a job") {
  Timers timers;
  timers.auto_monitor = false;
  CHECK(next(timers, on_gpu(0ms)) == "offload 0");
  CHECK(next(timers, in_ram(24h)) == "nothing");
  CHECK(next(timers, empty(24h)) == "nothing");
}

TEST_CASE("the worker stays while somebody is connected") {
  Situation now = empty(24h);
  now.connected = true;
  CHECK(next(Timers(), now) == "nothing");
}

TEST_CASE("timers are read over the present ones, in milliseconds") {
  Timers timers;
  timers.read({{"idle_timeout", 5}, {"auto_monitor", false}});
  CHECK(timers.idle_timeout == 5ms);
  CHECK(!timers.auto_monitor);
  CHECK(timers.exit_timeout == 30min);
  CHECK_THROWS_AS(timers.read({{"idle_timeout", -2}}), Error);
  CHECK_THROWS_AS(timers.read({{"idle_timeout", "5"}}), Error);
  CHECK_THROWS_AS(timers.read(ipc::Json::array()), Error);
}
