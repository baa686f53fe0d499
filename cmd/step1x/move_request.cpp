#include "move_request.hpp"

#include <poll.h>
#include <sys/socket.h>

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

}  // namespace

void add_mode_flags(CLI::App& command, MoveMode& mode) {
  auto* wait = command.add_flag("--wait", mode.wait, "Wait until all jobs and leases have ended");
  command.add_flag("--force", mode.force, "Cancel the jobs that are in the way")->excludes(wait);
}

bool move_request(const char* op, const MoveMode& mode, const Context& context) {
  const ipc::ClientOptions options = client_options(load_settings(context).settings, context);
  std::optional<ipc::Client> client = ipc::Client::connect(options);
  if (!client) {
    if (context.verbose) say("step1x: no worker is running");
    return false;
  }
  const char* how = mode.force ? "force" : mode.wait ? "wait" : "refuse";
  const UniqueFd process = worker_process(*client);
  // A worker that is leaving anyway does not answer; what was asked for comes with its end.
  const std::optional<ipc::Json> answer = client::ask(*client, {{"op", op}, {"mode", how}});
  const bool ends = std::string_view(op) == "shutdown" || !answer;
  // The end of the process, not of the connection: only then is its lock free, and the next worker does not meet it.
  // Not the lock itself: the next worker may have it already.
  if (ends && process) ipc::wait_for(process.get(), POLLIN, std::nullopt);
  return true;
}

}  // namespace step1x::cli
