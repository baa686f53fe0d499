#include "client/move.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <csignal>
#include <optional>

#include "base/process.hpp"
#include "client/ask.hpp"

namespace step1x::client {
namespace {

// Of the process that listens, as the kernel knows it. Empty: it is gone, or not in our process namespace.
UniqueFd worker_process(const ipc::Client& client) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(client.fd(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0) return {};
  return open_pidfd(peer.pid);
}

constexpr std::chrono::seconds kForce{10};

// What it computes is lost, as was asked for; what it holds of memory and GPU is free with its end. Its engines see it.
void end_worker(pid_t pid, const UniqueFd& process, const std::function<void(const std::string&)>& ended) {
  ended(fmt::format("worker {} has not answered for {} s, and is ended", pid, kForce.count()));
  signal_pidfd(process.get(), SIGKILL);
  ipc::wait_for(process.get(), POLLIN, std::nullopt);
}

constexpr std::array<std::string_view, 3> kMoves{"offload", "release", "shutdown"};
constexpr std::array<std::string_view, 3> kModes{"refuse", "wait", "force"};

}  // namespace

std::string_view name(Move move) {
  return kMoves.at(static_cast<std::size_t>(move));
}

bool move(Move what, MoveMode mode, ipc::ClientOptions options, const std::function<void(const std::string&)>& ended) {
  // Who forces it is not held up by one that hangs; a healthy one cancels its jobs within two seconds.
  const ipc::Deadline limit =
      mode == MoveMode::force ? ipc::Deadline(std::chrono::steady_clock::now() + kForce) : std::nullopt;
  options.timeout = kForce;
  std::optional<ipc::Client> client;
  try {
    client = ipc::Client::connect(options);
  } catch (const ipc::Unanswered& hangs) {
    if (mode != MoveMode::force) throw;
    const UniqueFd process = open_pidfd(hangs.pid());
    if (!process) throw;
    end_worker(hangs.pid(), process, ended);
    return true;
  }
  if (!client) return false;
  const UniqueFd process = worker_process(*client);
  try {
    // A worker that is leaving anyway does not answer; what was asked for comes with its end.
    const std::optional<ipc::Json> answer =
        ask(*client, {{"op", name(what)}, {"mode", kModes.at(static_cast<std::size_t>(mode))}}, limit);
    if (answer && what != Move::shutdown) return true;
    // The end of the process, not of the connection: only then is its lock free, and the next worker does not meet it.
    // Not the lock itself: the next worker may have it already.
    if (!process || ipc::wait_for(process.get(), POLLIN, limit)) return true;
  } catch (const Error& problem) {
    if (problem.code() != ErrorCode::timeout || !process) throw;
  }
  end_worker(client->worker().pid, process, ended);
  return true;
}

}  // namespace step1x::client
