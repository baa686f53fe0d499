// One-shot timer on CLOCK_BOOTTIME, which goes on while the machine sleeps: after a night in suspend an idle timeout is
// over. Asio's own timers stand still then. Loop thread only.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <functional>

#include "base/duration.hpp"

namespace step1x::worker {

// Milliseconds since boot, sleep included.
Duration boot_now();

class BootTimer {
 public:
  explicit BootTimer(boost::asio::io_context& io);

  // Calls `fire` once, `in` from now, unless set or cancelled again before.
  void set(Duration in, std::function<void()> fire);
  void cancel();

 private:
  void wait();

  boost::asio::posix::stream_descriptor timer_;
  std::function<void()> fire_;
  bool waiting_ = false;
};

}  // namespace step1x::worker
