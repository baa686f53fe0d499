// step1xd: the worker. Started by a client (ipc/spawn.cpp), seldom by hand; see step1xd(8).
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/process.hpp"
#include "base/version.hpp"
#include "ipc/spawn.hpp"
#include "own_process.hpp"
#include "worker/worker.hpp"

using namespace step1x;

namespace {

constexpr std::size_t kMaxLogBytes = 4 << 20;
// Above every descriptor the worker is likely to have: see Lock::raise_above.
constexpr int kLockFd = 4000;

struct Arguments {
  std::string directory;
  std::string engine;
  int ready_fd = -1;
  pid_t until_pid = 0;
  bool temporary = false;
  bool debug = false;
};

void tell(int ready_fd, const std::string& line) {
  if (ready_fd < 0) return;
  const std::string text = line + "\n";
  [[maybe_unused]] const ssize_t ignored = ::write(ready_fd, text.data(), text.size());
}

// One old log is kept.
void rotate_log(const ipc::Directory& directory) {
  const std::string old = std::string(ipc::kLogName) + ".1";
  ::renameat(directory.fd(), ipc::kLogName, directory.fd(), old.c_str());
  const UniqueFd log = directory.open_file(ipc::kLogName, O_WRONLY | O_APPEND);
  if (log) ::dup2(log.get(), STDERR_FILENO);
}

// Waits for the lock as long as somebody reads the ready pipe: who started this worker may have found another one, or
// have been killed.
ipc::Lock take_lock(const ipc::Directory& directory, int ready_fd) {
  constexpr int kTurn = 10;  // milliseconds
  if (auto lock = ipc::Lock::try_acquire(directory, ipc::kWorkerLockName)) return std::move(*lock);
  if (ready_fd < 0) return ipc::Lock::acquire(directory, ipc::kWorkerLockName);
  tell(ready_fd, ipc::kWaitingLine);
  for (;;) {
    pollfd reader{ready_fd, 0, 0};
    if (::poll(&reader, 1, kTurn) > 0)
      throw Error(ErrorCode::worker_failed, "another worker has the lock, and nobody waits for this one any more");
    if (auto lock = ipc::Lock::try_acquire(directory, ipc::kWorkerLockName)) return std::move(*lock);
  }
}

void serve(Arguments& arguments) {
  std::vector<std::string> limits = own_process(arguments.until_pid != 0);
  if (arguments.engine.empty()) {
    arguments.engine =
        (std::filesystem::path(program_directory()) / "../libexec/step1x/step1x-engine").lexically_normal().string();
  }
  if (::access(arguments.engine.c_str(), X_OK) != 0) {
    throw Error::format(ErrorCode::worker_failed, "cannot run the engine {}: {}; is step1x installed completely?",
                        arguments.engine, errno_text());
  }
  const ipc::Directory directory = ipc::Directory::open({arguments.directory});
  log::start(arguments.debug, kMaxLogBytes, [&directory] { rotate_log(directory); });
  ipc::Lock lock = take_lock(directory, arguments.ready_fd);
  lock.raise_above(kLockFd);
  boost::asio::io_context io(1);
  for (const std::string& limit : limits) log::warn("limited by who started it: {}", limit);
  const worker::Worker worker(io, directory, lock, {arguments.engine, arguments.until_pid, std::move(limits)});
  log::info("step1xd {} (build {}) serves {}", kVersion, kBuildId, directory.path().string());
  tell(arguments.ready_fd, ipc::kReadyLine);
  if (arguments.ready_fd >= 0) ::close(arguments.ready_fd);
  arguments.ready_fd = -1;
  io.run();
  log::info("ended");
  if (arguments.temporary) std::filesystem::remove_all(directory.path());
}

}  // namespace

int main(int argc, char** argv) {
  begin_process();
  CLI::App app("The worker of step1x. A client starts it when it is needed.", "step1xd");
  Arguments arguments;
  app.add_option("--directory", arguments.directory, "Where socket, locks and log are (default: as step1x(1) says)");
  app.add_option("--engine", arguments.engine, "The engine program (default: ../libexec/step1x/step1x-engine)");
  app.add_option("--ready-fd", arguments.ready_fd, "Descriptor to write a line to when requests are taken");
  app.add_option("--until-pid", arguments.until_pid, "Leave when this process has ended");
  app.add_flag("--temporary", arguments.temporary, "Remove the directory when leaving");
  app.add_flag("--debug", arguments.debug, "Log at level debug, prompts and paths included");
  app.set_version_flag("--version", fmt::format("step1xd {} ({})", kVersion, kBuildId));
  CLI11_PARSE(app, argc, argv);
  try {
    serve(arguments);
    return 0;
  } catch (const std::exception& problem) {
    tell(arguments.ready_fd, ipc::kErrorPrefix + one_line(problem.what()));
    fmt::print(stderr, "step1xd: {}\n", problem.what());
    return 1;
  }
}
