#include "move_request.hpp"

#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {

void add_mode_flags(CLI::App& command, client::MoveMode& mode) {
  auto* wait = command.add_flag_callback(
      "--wait", [&mode] { mode = client::MoveMode::wait; }, "Wait until all jobs and leases have ended");
  command
      .add_flag_callback(
          "--force", [&mode] { mode = client::MoveMode::force; }, "Cancel the jobs that are in the way")
      ->excludes(wait);
}

bool move_request(client::Move what, client::MoveMode mode, const Context& context) {
  if (client::move(what, mode, client_options(load_settings(context).settings, context), say_error)) return true;
  if (context.verbose) say("step1x: no worker is running");
  return false;
}

}  // namespace step1x::cli
