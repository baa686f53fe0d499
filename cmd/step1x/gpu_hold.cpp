// step1x gpu hold -- COMMAND: the model stays on the GPU while a command of the user's runs.
#include <sys/wait.h>

#include <csignal>
#include <memory>
#include <vector>

#include "base/error.hpp"
#include "base/process.hpp"
#include "base/utf8.hpp"
#include "client/ask.hpp"
#include "commands.hpp"
#include "settings.hpp"

namespace step1x::cli {
namespace {

volatile std::sig_atomic_t g_child = 0;

// SIGINT reaches the child by itself, from the terminal; the others are sent to this process alone.
void pass_on(int signal) {
  if (g_child > 0 && signal != SIGINT) ::kill(static_cast<pid_t>(g_child), signal);
}

ipc::Client take_lease(const std::string& label, const Context& context) {
  const ipc::ClientOptions options = client_options(load_settings(context).settings, context);
  constexpr int kAttempts = 4;
  for (int attempt = 1;; ++attempt) {
    ipc::Client client = ipc::Client::connect_or_spawn(options);
    if (client::ask(client, {{"op", "lease"}, {"label", label}})) return client;
    if (attempt == kAttempts)
      throw Error::format(ErrorCode::worker_failed, "{} workers in a row have left before they gave a lease", attempt);
  }
}

ExitCode run_hold(const std::vector<std::string>& command, const Context& context) {
  const ipc::Client client = take_lease(printable(command[0].substr(0, 200)), context);
  struct sigaction action{};
  action.sa_handler = pass_on;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    // Who started us wants it ignored, also by the command (nohup).
    if (::sigismember(&inherited_signals().ignored, signal) == 0) ::sigaction(signal, &action, nullptr);
  }
  g_child = spawn_command(command);
  const int status = wait_for_end(static_cast<pid_t>(g_child));
  // As a shell has it.
  constexpr int kSignalled = 128;
  return static_cast<ExitCode>(WIFSIGNALED(status) ? kSignalled + WTERMSIG(status) : WEXITSTATUS(status));
}

}  // namespace

void add_gpu_hold(CLI::App& gpu, Context& context) {
  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* command = gpu.add_subcommand("hold", "Keep the model on the GPU while a command runs");
  add_common_flags(*command, context);
  command->add_option("command", *words, "The command and its arguments, after --")->required()->type_name("COMMAND");
  command->positionals_at_end();
  command->footer("Example:\n  step1x gpu hold -- ./edit-all-of-them.sh");
  command->callback([words, &context] { context.run = [words, &context] { return run_hold(*words, context); }; });
}

}  // namespace step1x::cli
