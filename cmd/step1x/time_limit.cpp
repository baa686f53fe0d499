#include "time_limit.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <string_view>

#include "terminal.hpp"

namespace step1x::cli {
namespace {

// Cancelling takes two seconds at most (client/conversation.cpp).
constexpr std::chrono::seconds kPatience{10};

// Written beforehand: in a signal's handler no memory can be had.
std::string g_line;
std::string g_record;

// Where nobody reads, the end is not to wait for that either: a pipe that can be written to takes a line whole.
void write_at_once(int fd, std::string_view text) {
  pollfd entry{fd, POLLOUT, 0};
  if (text.empty() || ::poll(&entry, 1, 0) != 1 || (entry.revents & POLLOUT) == 0) return;
  [[maybe_unused]] const ssize_t ignored = ::write(fd, text.data(), text.size());
}

void end_in_time(int /*signal*/) {
  write_at_once(STDERR_FILENO, g_line);
  write_at_once(STDOUT_FILENO, g_record);
  ::_exit(static_cast<int>(exit_code(ErrorCode::timeout)));
}

}  // namespace

TimeLimit::TimeLimit(Duration limit, bool json) : limit_(limit) {
  if (limit < Duration::zero()) return;
  end_ = Clock::now() + limit;
  // Where there is a bar, in its place.
  g_line = fmt::format("{}step1x: {}\n", stderr_is_terminal() ? "\r\x1b[K" : "", over().what());
  g_record = json ? error_record(ErrorCode::timeout, over().what()).dump() + "\n" : "";
  struct sigaction action{};
  action.sa_handler = end_in_time;
  ::sigaction(SIGALRM, &action, nullptr);
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGALRM;
  if (::timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0)
    throw Error::format(ErrorCode::failure, "--timeout: timer_create: {}", errno_text());
  arm(*end_);
}

TimeLimit::~TimeLimit() {
  if (end_) ::timer_delete(timer_);
}

Error TimeLimit::over() const {
  return Error::format(ErrorCode::timeout, "no picture after {} (--timeout)", format_duration(limit_));
}

void TimeLimit::arm(Clock::time_point at) const {
  if (!end_) return;
  // A time that is past already; nothing at all would be no timer.
  const auto in = std::max(std::chrono::nanoseconds(1), std::chrono::nanoseconds(at - Clock::now()));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(in);
  itimerspec spec{};
  spec.it_value.tv_sec = seconds.count();
  spec.it_value.tv_nsec = (in - seconds).count();
  ::timer_settime(timer_, 0, &spec, nullptr);
}

TimeLimit::Kept::Kept(const TimeLimit& limit) : limit_(limit) {
  if (limit_.end_) limit_.arm(*limit_.end_ + kPatience);
}

TimeLimit::Kept::~Kept() {
  // Who kept it may have more to say of why it is over, or a result to put in place.
  constexpr std::chrono::seconds kLastWords{1};
  if (limit_.end_) limit_.arm(std::max(*limit_.end_, Clock::now() + kLastWords));
}

}  // namespace step1x::cli
