// step1x worker log: what the worker wrote, and with -f what it writes.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <memory>
#include <thread>

#include "base/utf8.hpp"
#include "commands.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

constexpr std::chrono::milliseconds kLook{250};

UniqueFd open_log(const std::filesystem::path& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
}

// Line by line: besides ours there are those that libraries write, of whose contents nobody knows.
class Printer {
 public:
  void print_rest(int fd) {
    std::array<char, 64 * 1024> buffer;
    for (ssize_t count = 0; (count = ::read(fd, buffer.data(), buffer.size())) > 0;) {
      unfinished_.append(buffer.data(), static_cast<std::size_t>(count));
      print_lines();
    }
  }
  void end() {
    if (!unfinished_.empty()) print(printable(std::exchange(unfinished_, {})) + "\n");
  }

 private:
  void print_lines() {
    std::string out;
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = unfinished_.find('\n', begin)) != std::string::npos; begin = end + 1)
      out += printable(std::string_view(unfinished_).substr(begin, end - begin)) + "\n";
    unfinished_.erase(0, begin);
    print(out);
  }

  std::string unfinished_;
};

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
  Printer printer;
  if (!log && !follow)
    throw Error::format(ErrorCode::failure, "no log of a worker at {}: {}", path.string(), errno_text());
  for (;;) {
    if (log) printer.print_rest(log.get());
    if (!follow) {
      printer.end();
      return ExitCode::ok;
    }
    std::this_thread::sleep_for(kLook);
    if (!log || replaced(path, log.get())) {
      if (log) printer.print_rest(log.get());
      printer.end();
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
