// The client's side of ipc/protocol.md: finds the worker of this user and host, or starts it, says hello, and then
// sends requests and receives events. Blocking; one thread at a time. Never loads a model, never touches a picture.
//
//   Client client = Client::connect_or_spawn(options);
//   client.send({{"op", "ping"}});
//   Message answer = client.receive(deadline);
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/duration.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "ipc/channel.hpp"
#include "ipc/directory.hpp"
#include "ipc/frame.hpp"

namespace step1x::ipc {

struct ClientOptions {
  Directory::Options directory;
  // How long to wait for a busy worker of another protocol, in total. kNever: as long as it takes.
  Duration timeout = kNever;
  // Lines for the user while something unusual is waited for ("waiting for worker 815 ..."). May be empty.
  std::function<void(const std::string&)> notice;
  // The worker ends when this process ends (a Slurm job's worker, --isolated: lib/README.md, Starting and meeting). 0:
  // it lives on.
  pid_t until_pid = 0;
  // The worker removes its directory when it leaves.
  bool temporary = false;
};

// The worker has not said hello in time.
class Unanswered : public Error {
 public:
  Unanswered(const std::string& message, pid_t pid) : Error(ErrorCode::timeout, message), pid_(pid) {}
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

// What the worker said in its hello.
struct WorkerInfo {
  int pid = 0;
  std::string version;
  std::string build;
};

class Client {
 public:
  // Throws Error(worker_failed) with the cause when the worker cannot be started, Error(version_mismatch) or (timeout)
  // when a busy worker of another protocol stays in the way.
  static Client connect_or_spawn(const ClientOptions& options);
  // nullopt when no worker runs. Starts none.
  static std::optional<Client> connect(const ClientOptions& options);

  const WorkerInfo& worker() const { return worker_; }
  // True when connect_or_spawn had to start it.
  bool spawned() const { return spawned_; }
  // For poll(): readable when receive() would not block for long.
  int fd() const { return channel_.fd(); }

  // Throws Error(worker_failed) when the worker is gone. `fd` is duplicated by the kernel, the caller keeps its own.
  void send(const Json& body, int fd = -1);
  // Blocks for one message, at most until the deadline. nullopt: the deadline passed. Throws Error(worker_failed) on
  // EOF.
  std::optional<Message> receive(std::optional<std::chrono::steady_clock::time_point> deadline = std::nullopt);

 private:
  Client(Channel channel, WorkerInfo worker) : channel_(std::move(channel)), worker_(std::move(worker)) {}

  Channel channel_;
  WorkerInfo worker_;
  bool spawned_ = false;
};

}  // namespace step1x::ipc
