#include "ipc/client.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/process.hpp"
#include "base/version.hpp"
#include "ipc/hello.hpp"
#include "ipc/lock.hpp"
#include "ipc/spawn.hpp"

namespace step1x::ipc {
namespace {

using Clock = std::chrono::steady_clock;

Error failed(const Directory& directory, const std::string& why) {
  return Error(ErrorCode::worker_failed,
               fmt::format("cannot connect to the worker in {}: {}", directory.path().string(), why));
}

// How often who waits for the spawn lock looks whether a worker answers by now.
constexpr std::chrono::milliseconds kSpawnLockTurn{10};
// A worker may leave between its start and our hello (a client of another protocol was faster); this often is a fault.
constexpr int kSpawns = 5;

// nullopt: nobody listens. Any other failure throws: where a sandbox forbids to connect, spawning would not help.
std::optional<UniqueFd> connect_socket(const Directory& directory, Deadline deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, directory.via_fd(kSocketName).c_str(), sizeof address.sun_path - 1);
  for (;;) {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) throw failed(directory, errno_text());
    // With the backlog full, connect() blocks until there is room, at most this long; then EAGAIN. Never non-blocking:
    // that would fail at once.
    const timeval patience{1, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return socket;
    if (errno == ENOENT || errno == ECONNREFUSED) return std::nullopt;
    if (errno != EAGAIN && errno != EINTR && errno != ETIMEDOUT) throw failed(directory, errno_text());
    if (deadline && Clock::now() >= *deadline)
      throw Error(ErrorCode::timeout, "the worker does not take connections: timed out");
  }
}

// Of the process that listens, which is this user's: as the kernel knows it, 0 in another process namespace.
pid_t check_owner(const Directory& directory, int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) throw failed(directory, errno_text());
  if (peer.uid != ::geteuid())
    throw failed(directory, fmt::format("process {} there belongs to user {}", peer.pid, peer.uid));
  return peer.pid;
}

// Waits for the answer to a hello. Throws Unanswered at the deadline.
Channel::Result receive_hello(Channel& channel, Message& message, pid_t pid, const ClientOptions& options,
                              Deadline deadline) {
  const std::string who =
      fmt::format("worker {} takes connections and does not answer (step1x worker stop --force ends it)", pid);
  if (options.notice) {
    const auto notice_at = Clock::now() + std::chrono::seconds(3);
    const Channel::Result first = channel.receive(message, deadline ? std::min(*deadline, notice_at) : notice_at);
    if (first != Channel::Result::timed_out) return first;
    if (!deadline || Clock::now() < *deadline) options.notice(who + ": waiting for it");
  }
  const Channel::Result result = channel.receive(message, deadline);
  if (result == Channel::Result::timed_out) throw Unanswered(who + ": timed out", pid);
  return result;
}

Error in_the_way(const Peer& peer) {
  return Error::format(ErrorCode::version_mismatch,
                       "worker {} (step1x {}, build {}) speaks protocol {} and is busy ({} jobs), this step1x {} "
                       "(build {}) speaks protocol {}: "
                       "try again when it is done, or stop it with the step1x that it came with",
                       peer.pid, peer.version, peer.build, peer.protocol, peer.jobs, kVersion, kBuildId, kProtocol);
}

// A connection on which both have said hello in the same protocol, or why there is none.
struct Greeting {
  enum class Outcome { connected, nobody, left } outcome;
  std::optional<Channel> channel;
  Peer peer;
};

Greeting greet(const Directory& directory, const ClientOptions& options, Deadline deadline) {
  std::optional<UniqueFd> socket = connect_socket(directory, deadline);
  if (!socket) return {Greeting::Outcome::nobody, std::nullopt, {}};
  const pid_t pid = check_owner(directory, socket->get());
  Channel channel(std::move(*socket));
  Message message;
  if (!channel.send(hello("op"))) return {Greeting::Outcome::left, std::nullopt, {}};
  if (receive_hello(channel, message, pid, options, deadline) == Channel::Result::end)
    return {Greeting::Outcome::left, std::nullopt, {}};
  const Peer peer = read_hello(message.body, "event");
  if (peer.protocol == kProtocol) return {Greeting::Outcome::connected, std::move(channel), peer};
  // It says nothing more; the end of the connection is the news. A short wait is none.
  const auto notice_at = Clock::now() + std::chrono::seconds(1);
  bool noticed = peer.leaving || !options.notice;
  for (;;) {
    const Deadline turn = noticed ? deadline : Deadline(deadline ? std::min(*deadline, notice_at) : notice_at);
    switch (channel.receive(message, turn)) {
      case Channel::Result::end:
        return {Greeting::Outcome::left, std::nullopt, {}};
      case Channel::Result::timed_out:
        if (deadline && Clock::now() >= *deadline) throw in_the_way(peer);
        if (std::exchange(noticed, true)) break;
        options.notice(fmt::format("waiting for worker {} (build {}, protocol {}) to finish {} jobs", peer.pid,
                                   peer.build, peer.protocol, peer.jobs));
        break;
      case Channel::Result::message:
        break;
    }
  }
}

// nullopt: somebody answers meanwhile. Not a blocking flock: the lock's holder may be stopped, or waiting for a worker
// that does not leave, and --timeout holds here too.
std::optional<Lock> spawn_lock(const Directory& directory, Deadline deadline) {
  for (;;) {
    if (auto lock = Lock::try_acquire(directory, kSpawnLockName)) return lock;
    std::this_thread::sleep_for(kSpawnLockTurn);
    if (connect_socket(directory, deadline)) return std::nullopt;
    if (deadline && Clock::now() >= *deadline)
      throw Error(ErrorCode::timeout, "another step1x is still starting the worker: timed out");
  }
}

Deadline deadline_of(const ClientOptions& options) {
  if (options.timeout < Duration::zero()) return std::nullopt;
  return Clock::now() + options.timeout;
}

}  // namespace

Client Client::connect_or_spawn(const ClientOptions& options) {
  const Directory directory = Directory::open(options.directory);
  const Deadline deadline = deadline_of(options);
  const SpawnOptions spawn{std::filesystem::path(program_directory()) / "step1xd",
                           options.until_pid,
                           options.temporary,
                           deadline,
                           options.notice,
                           [&] { return connect_socket(directory, deadline).has_value(); }};
  for (int spawns = 0;;) {
    Greeting greeting = greet(directory, options, deadline);
    if (greeting.outcome == Greeting::Outcome::nobody) {
      const std::optional<Lock> lock = spawn_lock(directory, deadline);
      // Who waited for the lock finds the worker that its holder has started.
      greeting = greet(directory, options, deadline);
      if (lock && greeting.outcome == Greeting::Outcome::nobody) {
        if (++spawns > kSpawns) {
          throw Error::format(ErrorCode::worker_failed, "{} workers in a row have ended before they answered; see: {}",
                              kSpawns, (directory.path() / kLogName).string());
        }
        spawn_worker(directory, spawn);
        greeting = greet(directory, options, deadline);
      }
    }
    if (greeting.outcome == Greeting::Outcome::connected) {
      Client client(std::move(*greeting.channel), {greeting.peer.pid, greeting.peer.version, greeting.peer.build});
      client.spawned_ = spawns > 0;
      return client;
    }
    if (deadline && Clock::now() >= *deadline) throw Error(ErrorCode::timeout, "no worker answered: timed out");
  }
}

std::optional<Client> Client::connect(const ClientOptions& options) {
  const std::optional<Directory> directory = Directory::open_existing(options.directory);
  if (!directory) return std::nullopt;
  const Deadline deadline = deadline_of(options);
  Greeting greeting = greet(*directory, options, deadline);
  if (greeting.outcome != Greeting::Outcome::connected) return std::nullopt;
  return Client(std::move(*greeting.channel), {greeting.peer.pid, greeting.peer.version, greeting.peer.build});
}

void Client::send(const Json& body, int fd) {
  if (!channel_.send(body, fd, Json::error_handler_t::strict))
    throw Error::format(ErrorCode::worker_failed, "worker {} is gone", worker_.pid);
}

std::optional<Message> Client::receive(Deadline deadline) {
  Message message;
  switch (channel_.receive(message, deadline)) {
    case Channel::Result::message:
      return message;
    case Channel::Result::timed_out:
      return std::nullopt;
    case Channel::Result::end:
      break;
  }
  throw Error::format(ErrorCode::worker_failed, "worker {} is gone", worker_.pid);
}

}  // namespace step1x::ipc
