// Starting processes so that they inherit nothing by accident, and saying in words how one ended. Thread-safe.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"

namespace step1x {

struct SpawnSpec {
  std::vector<std::string> arguments;    // [0] is the program's absolute path
  std::vector<std::string> environment;  // NAME=value; nothing else is passed on
  int stderr_fd = 2;                     // becomes 2; 0 and 1 are /dev/null
  int fd3 = -1;                          // becomes 3; all others are closed
  bool new_session = false;
};

// Default signals, empty signal mask, cwd /. Throws Error(failure) naming the program and why. The caller reaps the
// child.
pid_t spawn_process(const SpawnSpec& spec);

// The first thing in main: what a process inherits must not change what it does.
//
// Those of descriptors 0-2 that are closed are taken, since the next file opened would become standard output: by
// something that can neither be read (0) nor written to (1, 2), so that nobody takes it for done, and that what is
// started does not get. Signals whose end would be a loss without a word become errors of the call (SIGPIPE, SIGXFSZ),
// the end of a child can be waited for (SIGCHLD), and no signal is blocked.
void begin_process();

// What the caller of this process had decided about signals, for what is started on the caller's behalf.
struct InheritedSignals {
  sigset_t ignored;
  sigset_t blocked;
};
const InheritedSignals& inherited_signals();

// Starts the caller's own command, found as a shell does, with what the caller gave: descriptors, signals, environment,
// folder. Throws Error(usage) naming it and why it cannot be run. The caller reaps the child.
pid_t spawn_command(const std::vector<std::string>& command);
// waitpid's status. Throws Error(failure) where nobody can tell.
int wait_for_end(pid_t child);

// A descriptor that becomes readable when the process ends, and never means another process, as a reused pid would.
// Empty with errno set: there is none.
UniqueFd open_pidfd(pid_t pid);
void signal_pidfd(int pidfd, int signal);

// "was killed by signal 9 (Killed)", "exited with code 3"; status is waitpid's.
std::string describe_exit(int status);

// How many processes the kernel's memory killer has ended since boot, on this machine; 0 where it does not say.
std::uint64_t memory_kills();

// Line breaks and other control characters of ASCII become single spaces, the others are written out as printable()
// does; trimmed.
std::string one_line(std::string_view text);

// This user's home from the user database, not from $HOME, which differs between a shell, cron and sudo. Only for a
// user who is not in it, that of the environment; empty where there is none.
std::string home_directory();

// The directory of the running program's file.
std::string program_directory();

}  // namespace step1x
