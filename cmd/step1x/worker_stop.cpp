// step1x worker stop: returns when the worker is gone and the next one can start.
#include <memory>

#include "commands.hpp"
#include "move_request.hpp"

namespace step1x::cli {

void add_worker_stop(CLI::App& worker, Context& context) {
  auto mode = std::make_shared<client::MoveMode>(client::MoveMode::refuse);
  CLI::App* command = worker.add_subcommand("stop", "End the worker; with none running there is nothing to do");
  add_mode_flags(*command, *mode);
  add_common_flags(*command, context);
  command->callback([mode, &context] {
    context.run = [mode, &context] {
      move_request(client::Move::shutdown, *mode, context);
      return ExitCode::ok;
    };
  });
}

}  // namespace step1x::cli
