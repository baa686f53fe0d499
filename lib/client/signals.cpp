#include "client/signals.hpp"

#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "base/error.hpp"

namespace step1x::client {
namespace {

constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP};

// Those that end us, by leave_at_signals() or by default.
sigset_t wanted_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : kSignals) {
    struct sigaction action{};
    ::sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_IGN) ::sigaddset(&set, signal);
  }
  return set;
}

void mask_signals(int how) {
  const sigset_t set = wanted_signals();
  ::pthread_sigmask(how, &set, nullptr);
}

}  // namespace

void leave_at_signals() {
  struct sigaction action{};
  action.sa_handler = [](int) { ::_exit(static_cast<int>(ExitCode::interrupted)); };
  for (const int signal : kSignals) {
    struct sigaction before{};
    ::sigaction(signal, nullptr, &before);
    // nohup, and a shell's background jobs: who started us wants it ignored.
    if (before.sa_handler != SIG_IGN) ::sigaction(signal, &action, nullptr);
  }
}

Signals::Signals() {
  const sigset_t set = wanted_signals();
  fd_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_) throw Error::format(ErrorCode::failure, "signalfd: {}", errno_text());
  mask_signals(SIG_BLOCK);
}

Signals::~Signals() {
  mask_signals(SIG_UNBLOCK);
}

Signals::AtOnce::AtOnce(const Signals& /*inside*/) {
  mask_signals(SIG_UNBLOCK);
}

Signals::AtOnce::~AtOnce() {
  mask_signals(SIG_BLOCK);
}

int Signals::take() const {
  signalfd_siginfo info{};
  int count = 0;
  while (::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) ++count;
  return count;
}

}  // namespace step1x::client
