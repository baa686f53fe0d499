// SIGINT, SIGTERM and SIGHUP. Outside of a job they end the command at once with 130: nothing is half written then.
// During a job they are read from a descriptor, so that the first one can cancel and wait.
#pragma once

#include "base/fd.hpp"

namespace step1x::cli {

// For the whole process, first thing. SIGPIPE is ignored: a closed pipe is an error of the write.
void leave_at_signals();

// While it lives the signals come through fd() and interrupt nothing.
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int fd() const { return fd_.get(); }
  // How many arrived since the last call.
  int take() const;

 private:
  UniqueFd fd_;
};

}  // namespace step1x::cli
