#include "signals.hpp"

#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "base/error.hpp"

namespace step1x::cli {
namespace {

constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP};

sigset_t signal_set() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : kSignals) ::sigaddset(&set, signal);
  return set;
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
  ::signal(SIGPIPE, SIG_IGN);
}

Signals::Signals() {
  sigset_t set = signal_set();
  for (const int signal : kSignals) {
    struct sigaction before{};
    ::sigaction(signal, nullptr, &before);
    if (before.sa_handler == SIG_IGN) ::sigdelset(&set, signal);
  }
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  fd_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_) throw Error::format(ErrorCode::failure, "signalfd: {}", errno_text());
}

Signals::~Signals() {
  const sigset_t set = signal_set();
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

int Signals::take() const {
  signalfd_siginfo info{};
  int count = 0;
  while (::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) ++count;
  return count;
}

}  // namespace step1x::cli
