#include "move_request.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <csignal>

#include "base/process.hpp"
#include "client/ask.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {
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
void end_worker(pid_t pid, const UniqueFd& process) {
  say_error(fmt::format("worker {} has not answered for {} s, and is ended", pid, kForce.count()));
  signal_pidfd(process.get(), SIGKILL);
  ipc::wait_for(process.get(), POLLIN, std::nullopt);
}

}  // namespace

void add_mode_flags(CLI::App& command, MoveMode& mode) {
  auto* wait = command.add_flag("--wait", mode.wait, "Wait until all jobs and leases have ended");
  command.add_flag("--force", mode.force, "Cancel the jobs that are in the way")->excludes(wait);
}

bool move_request(const char* op, const MoveMode& mode, const Context& context) {
  ipc::ClientOptions options = client_options(load_settings(context).settings, context);
  // Who forces it is not held up by one that hangs; a healthy one cancels its jobs within two seconds.
  const ipc::Deadline limit = mode.force ? ipc::Deadline(std::chrono::steady_clock::now() + kForce) : std::nullopt;
  options.timeout = kForce;
  std::optional<ipc::Client> client;
  try {
    client = ipc::Client::connect(options);
  } catch (const ipc::Unanswered& hangs) {
    if (!mode.force) throw;
    const UniqueFd process = open_pidfd(hangs.pid());
    if (!process) throw;
    end_worker(hangs.pid(), process);
    return true;
  }
  if (!client) {
    if (context.verbose) say("step1x: no worker is running");
    return false;
  }
  const char* how = mode.force ? "force" : mode.wait ? "wait" : "refuse";
  const UniqueFd process = worker_process(*client);
  const bool shutdown = std::string_view(op) == "shutdown";
  try {
    // A worker that is leaving anyway does not answer; what was asked for comes with its end.
    const std::optional<ipc::Json> answer = client::ask(*client, {{"op", op}, {"mode", how}}, limit);
    if (answer && !shutdown) return true;
    // The end of the process, not of the connection: only then is its lock free, and the next worker does not meet it.
    // Not the lock itself: the next worker may have it already.
    if (!process || ipc::wait_for(process.get(), POLLIN, limit)) return true;
  } catch (const Error& problem) {
    if (problem.code() != ErrorCode::timeout || !process) throw;
  }
  end_worker(client->worker().pid, process);
  return true;
}

}  // namespace step1x::cli
