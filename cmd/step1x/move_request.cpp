#include "move_request.hpp"

#include "ipc/fields.hpp"
#include "ipc/lock.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

// The end of the connection comes a moment before the worker's lock is free; who starts the next one must not meet the
// old.
void wait_for_end(ipc::Client& client, const ipc::ClientOptions& options) {
  try {
    while (client.receive()) {
    }
  } catch (const Error&) {
    // That is the end.
  }
  if (const auto directory = ipc::Directory::open_existing(options.directory))
    ipc::Lock::acquire(*directory, ipc::kWorkerLockName);
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
  client->send({{"op", op}, {"mode", how}});
  const std::optional<ipc::Message> answer = client->receive();
  if (ipc::Fields(answer->body).text("event", "") == "error") throw_error_event(answer->body);
  if (std::string_view(op) == "shutdown") wait_for_end(*client, options);
  return true;
}

}  // namespace step1x::cli
