// Starting processes so that they inherit nothing by accident, and saying in words how one ended. Thread-safe.
#pragma once

#include <sys/types.h>

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

// Opens /dev/null on those of descriptors 0-2 that are closed: the next file opened would become standard output or
// error. The first thing in main.
void fill_standard_descriptors();

// A descriptor that becomes readable when the process ends, and never means another process, as a reused pid would.
// Empty with errno set: there is none.
UniqueFd open_pidfd(pid_t pid);
void signal_pidfd(int pidfd, int signal);

// "was killed by signal 9 (Killed)", "exited with code 3"; status is waitpid's.
std::string describe_exit(int status);

// How many processes the kernel's memory killer has ended since boot, on this machine; 0 where it does not say.
std::uint64_t memory_kills();

// Line breaks and other control characters become single spaces; trimmed.
std::string one_line(std::string_view text);

// This user's home from the user database, not from $HOME; empty where there is none.
std::string home_directory();

// The directory of the running program's file.
std::string program_directory();

}  // namespace step1x
