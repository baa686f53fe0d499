// step1x worker restart: for who has changed something that a worker learns only when it starts.
#include <memory>

#include "commands.hpp"
#include "move_request.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {

void add_worker_restart(CLI::App& worker, Context& context) {
  auto mode = std::make_shared<client::MoveMode>(client::MoveMode::refuse);
  CLI::App* command =
      worker.add_subcommand("restart", "End the worker and start another one; with none running only start one");
  add_mode_flags(*command, *mode);
  add_common_flags(*command, context);
  command->callback([mode, &context] {
    context.run = [mode, &context] {
      move_request(client::Move::shutdown, *mode, context);
      const ipc::Client client =
          ipc::Client::connect_or_spawn(client_options(load_settings(context).settings, context));
      print(fmt::format("{}\n", client.worker().pid));
      return ExitCode::ok;
    };
  });
}

}  // namespace step1x::cli
