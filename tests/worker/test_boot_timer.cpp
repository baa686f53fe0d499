#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>

#include "worker/boot_timer.hpp"

using namespace step1x;
using namespace step1x::worker;
using namespace std::chrono_literals;

namespace {

// Runs the loop until nothing is due any more, or for a hang guard's time.
void run(boost::asio::io_context& io, Duration time) {
  io.restart();
  io.run_for(time);
}

}  // namespace

TEST_CASE("it fires once") {
  boost::asio::io_context io(1);
  BootTimer timer(io);
  int fired = 0;
  timer.set(1ms, [&] { ++fired; });
  run(io, 200ms);
  CHECK(fired == 1);
}

TEST_CASE("zero fires, too") {
  boost::asio::io_context io(1);
  BootTimer timer(io);
  int fired = 0;
  timer.set(0ms, [&] { ++fired; });
  run(io, 200ms);
  CHECK(fired == 1);
}

TEST_CASE("set again, only the new one fires; cancelled, none") {
  boost::asio::io_context io(1);
  BootTimer timer(io);
  std::string fired;
  timer.set(1ms, [&] { fired += "a"; });
  timer.set(2ms, [&] { fired += "b"; });
  run(io, 200ms);
  CHECK(fired == "b");
  timer.set(1ms, [&] { fired += "c"; });
  timer.cancel();
  run(io, 50ms);
  CHECK(fired == "b");
  timer.set(1ms, [&] { fired += "d"; });
  run(io, 200ms);
  CHECK(fired == "bd");
}

TEST_CASE("it can be set from within") {
  boost::asio::io_context io(1);
  BootTimer timer(io);
  int fired = 0;
  std::function<void()> again = [&] {
    if (++fired < 5) timer.set(1ms, again);
  };
  timer.set(1ms, again);
  run(io, 500ms);
  CHECK(fired == 5);
}
