// step1x worker start: for who wants the worker before the first edit.
#include "commands.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {

void add_worker_start(CLI::App& worker, Context& context) {
  CLI::App* command =
      worker.add_subcommand("start", "Start the worker and return when it answers; a running one is fine");
  add_common_flags(*command, context);
  command->callback([&context] {
    context.run = [&context] {
      const ipc::Client client =
          ipc::Client::connect_or_spawn(client_options(load_settings(context).settings, context));
      print(fmt::format("{}\n", client.worker().pid));
      if (context.verbose)
        say(fmt::format("step1x: worker {} {}", client.worker().pid,
                        client.spawned() ? "was started" : "runs already"));
      return ExitCode::ok;
    };
  });
}

}  // namespace step1x::cli
