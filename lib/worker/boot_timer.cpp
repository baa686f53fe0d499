#include "worker/boot_timer.hpp"

#include <sys/timerfd.h>

#include <algorithm>
#include <ctime>

#include "base/error.hpp"

namespace step1x::worker {
namespace {

int make_timer() {
  const int fd = ::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  if (fd < 0) throw Error::format(ErrorCode::failure, "timerfd_create: {}", errno_text());
  return fd;
}

void arm(int fd, std::chrono::nanoseconds in) {
  constexpr long long kSecond = 1'000'000'000;
  itimerspec spec{};
  spec.it_value.tv_sec = static_cast<time_t>(in.count() / kSecond);
  spec.it_value.tv_nsec = static_cast<long>(in.count() % kSecond);
  ::timerfd_settime(fd, 0, &spec, nullptr);
}

}  // namespace

Duration boot_now() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::duration_cast<Duration>(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

BootTimer::BootTimer(boost::asio::io_context& io) : timer_(io, make_timer()) {}

void BootTimer::set(Duration in, std::function<void()> fire) {
  fire_ = std::move(fire);
  // An all-zero time disarms a timerfd instead of firing it.
  arm(timer_.native_handle(), std::max<std::chrono::nanoseconds>(in, std::chrono::nanoseconds(1)));
  if (!waiting_) wait();
}

void BootTimer::cancel() {
  fire_ = nullptr;
  arm(timer_.native_handle(), std::chrono::nanoseconds(0));
}

void BootTimer::wait() {
  waiting_ = true;
  timer_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& problem) {
    if (problem) return;  // the timer is being destroyed
    waiting_ = false;
    std::uint64_t count = 0;
    // Nothing to read: it was set anew after it had expired.
    const bool expired = ::read(timer_.native_handle(), &count, sizeof count) > 0;
    if (!fire_) return;
    if (!expired) return wait();
    std::exchange(fire_, nullptr)();
  });
}

}  // namespace step1x::worker
