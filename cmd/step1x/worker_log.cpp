// step1x worker log: what the worker wrote, and with -f what it writes.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <memory>
#include <thread>

#include "commands.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

constexpr std::chrono::milliseconds kLook{250};

UniqueFd open_log(const std::filesystem::path& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
}

void print_rest(int fd) {
  std::array<char, 64 * 1024> buffer;
  for (ssize_t count = 0; (count = ::read(fd, buffer.data(), buffer.size())) > 0;)
    print(std::string_view(buffer.data(), static_cast<std::size_t>(count)));
}

// The log was rotated: its name leads to another file now.
bool replaced(const std::filesystem::path& path, int fd) {
  struct stat named{};
  struct stat opened{};
  return ::stat(path.c_str(), &named) == 0 && ::fstat(fd, &opened) == 0 && named.st_ino != opened.st_ino;
}

ExitCode run_log(bool follow, const Context& context) {
  const auto path =
      ipc::Directory::resolve(client_options(load_settings(context).settings, context).directory) / ipc::kLogName;
  UniqueFd log = open_log(path);
  if (!log && !follow)
    throw Error::format(ErrorCode::failure, "no log of a worker at {}: {}", path.string(), errno_text());
  for (;;) {
    if (log) print_rest(log.get());
    if (!follow) return ExitCode::ok;
    std::this_thread::sleep_for(kLook);
    if (!log || replaced(path, log.get())) {
      if (log) print_rest(log.get());
      log = open_log(path);
    }
  }
}

}  // namespace

void add_worker_log(CLI::App& worker, Context& context) {
  auto follow = std::make_shared<bool>(false);
  CLI::App* command = worker.add_subcommand("log", "Print the worker's log");
  command->add_flag("-f,--follow", *follow, "Go on printing what is added, until interrupted");
  add_common_flags(*command, context);
  command->callback([follow, &context] { context.run = [follow, &context] { return run_log(*follow, context); }; });
}

}  // namespace step1x::cli
