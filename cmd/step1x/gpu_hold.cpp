// step1x gpu hold -- COMMAND: the model stays on the GPU while a command of the user's runs.
#include <spawn.h>
#include <sys/wait.h>

#include <csignal>
#include <memory>
#include <vector>

#include "base/error.hpp"
#include "client/ask.hpp"
#include "commands.hpp"
#include "settings.hpp"

extern char** environ;

namespace step1x::cli {
namespace {

volatile std::sig_atomic_t g_child = 0;

// SIGINT reaches the child by itself, from the terminal; the others are sent to this process alone.
void pass_on(int signal) {
  if (g_child > 0 && signal != SIGINT) ::kill(static_cast<pid_t>(g_child), signal);
}

pid_t start(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawnattr_t attributes{};
  ::posix_spawnattr_init(&attributes);
  sigset_t defaults;
  ::sigemptyset(&defaults);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::sigaddset(&defaults, signal);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const int problem = ::posix_spawnp(&pid, arguments[0], nullptr, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  if (problem != 0)
    throw Error::format(ErrorCode::usage, "gpu hold: cannot run {}: {}", command[0], errno_text(problem));
  return pid;
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
  const ipc::Client client = take_lease(command[0].substr(0, 200), context);
  struct sigaction action{};
  action.sa_handler = pass_on;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
  g_child = start(command);
  int status = 0;
  while (::waitpid(static_cast<pid_t>(g_child), &status, 0) < 0 && errno == EINTR) {
  }
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
