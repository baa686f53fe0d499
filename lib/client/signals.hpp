// SIGINT, SIGTERM and SIGHUP. Outside of a conversation they end the command at once with 130: nothing is half written
// then. While a Signals lives they are read from a descriptor, so that the first one can cancel and wait. For the main
// thread; threads that are started while a Signals lives inherit what it blocks, and leave the signals to it.
#pragma once

#include "base/fd.hpp"

namespace step1x::client {

// For the whole process, first thing.
void leave_at_signals();

// While it lives the signals come through fd() and interrupt nothing. Throws Error(failure) where there is no
// descriptor for it.
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int fd() const { return fd_.get(); }
  // How many arrived since the last call.
  int take() const;

  // While it lives, inside of a Signals, they end the command at once again: for what blocks and has nothing to cancel.
  class AtOnce {
   public:
    explicit AtOnce(const Signals& signals);
    ~AtOnce();
    AtOnce(const AtOnce&) = delete;
    AtOnce& operator=(const AtOnce&) = delete;
  };

 private:
  UniqueFd fd_;
};

}  // namespace step1x::client
