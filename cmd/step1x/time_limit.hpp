// --timeout: the time that a whole command may take. When it is over the process ends with 75 and one line, whatever it
// waits for then: a pipe that nobody writes to, or one that nobody reads. What it has written is whole or not there
// (base/atomic_file.hpp holds the signal back). One at a time, in the main thread.
#pragma once

#include <ctime>

#include <chrono>
#include <optional>

#include "base/duration.hpp"
#include "base/error.hpp"

namespace step1x::cli {

class TimeLimit {
 public:
  using Clock = std::chrono::steady_clock;

  // Runs from now on. Negative: there is none. `json`: an error record goes to standard output too. Throws
  // Error(failure) where there is no timer.
  TimeLimit(Duration limit, bool json);
  ~TimeLimit();
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;

  Duration limit() const { return limit_; }
  std::optional<Clock::time_point> end() const { return end_; }
  // How the end of the time is told.
  Error over() const;

  // While it lives somebody else looks at the clock, who can cancel in good order what is under way. Only who has not
  // done so for long is ended.
  class Kept {
   public:
    explicit Kept(const TimeLimit& limit);
    ~Kept();
    Kept(const Kept&) = delete;
    Kept& operator=(const Kept&) = delete;

   private:
    const TimeLimit& limit_;
  };

 private:
  void arm(Clock::time_point at) const;

  Duration limit_;
  std::optional<Clock::time_point> end_;
  timer_t timer_{};
};

}  // namespace step1x::cli
