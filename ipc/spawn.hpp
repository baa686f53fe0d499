// Starts a worker so that nothing of the caller shows in it (lib/README.md, One edit): every descriptor closed, 0-2 on
// /dev/null and the log, cwd /, a built environment, default signals, a session of its own. What needs the process
// itself (umask, limits, niceness) the worker does first thing.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>

#include "ipc/channel.hpp"
#include "ipc/directory.hpp"

namespace step1x::ipc {

// What a starting worker writes to the ready pipe (descriptor 3), one line each. EOF without `ready` means that it
// died.
inline constexpr int kReadyFd = 3;
inline constexpr const char* kReadyLine = "ready";
inline constexpr const char* kWaitingLine = "waiting";  // for the lock of a worker that is just leaving
inline constexpr const char* kErrorPrefix = "error ";   // the cause, in one line, for the client's user

struct SpawnOptions {
  std::filesystem::path program;
  pid_t until_pid = 0;                             // see ClientOptions
  bool temporary = false;                          // see ClientOptions
  Deadline deadline;                               // for the wait for a worker that is still leaving
  std::function<void(const std::string&)> notice;  // see ClientOptions
  // Asked now and then while the new worker waits for the lock: true when whoever holds it takes connections after all,
  // as a worker does whose starter was killed before it was ready. May be empty.
  std::function<bool()> answered;
};

// Returns when the worker answers on its socket, or another one does. REQUIRES: the caller holds the spawn lock.
// Throws Error(worker_failed) with the cause: what the worker said, how it ended, the last lines of its log; or
// Error(timeout). A worker that still waits for the lock then ends by itself, because nobody reads its pipe any more;
// none is killed: it could be taking its first client at that moment.
void spawn_worker(const Directory& directory, const SpawnOptions& options);

}  // namespace step1x::ipc
