// An exclusive flock(2) on a file of the worker's directory, held until the object ends. flock, because an fcntl lock
// (what boost::interprocess::file_lock is) is lost as soon as any code of the process closes the same file. The file is
// never unlinked: its inode is the lock.
#pragma once

#include <optional>

#include "base/fd.hpp"
#include "ipc/directory.hpp"

namespace step1x::ipc {

class Lock {
 public:
  // Waits. Throws Error(worker_failed) when the file cannot be opened or locked.
  static Lock acquire(const Directory& directory, const char* name);
  // nullopt: somebody holds it. For who must do something else while waiting.
  static std::optional<Lock> try_acquire(const Directory& directory, const char* name);

  // Moves the descriptor up to `lowest` or above (as far as the limit allows). Descriptors close in order at exit: what
  // lies below is freed while the lock is still held.
  void raise_above(int lowest);
  int fd() const { return fd_.get(); }

 private:
  explicit Lock(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace step1x::ipc
