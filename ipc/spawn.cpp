#include "ipc/spawn.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/process.hpp"

namespace step1x::ipc {
namespace {

using Clock = std::chrono::steady_clock;

// A worker that leaves takes a few milliseconds: nobody is told of that.
constexpr std::chrono::seconds kWorthANotice{1};
constexpr std::chrono::milliseconds kLookForAnother{20};

// The last lines that this start wrote to the log, joined to one.
std::string log_tail(const UniqueFd& log, off_t from) {
  constexpr off_t kMost = 600;
  struct stat info{};
  if (::fstat(log.get(), &info) != 0 || info.st_size <= from) return "";
  const off_t begin = std::max(from, info.st_size - kMost);
  std::string text(static_cast<std::size_t>(info.st_size - begin), '\0');
  const ssize_t count = ::pread(log.get(), text.data(), text.size(), begin);
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return one_line(text);
}

bool has_line(const std::string& said, const char* line) {
  return said.find(std::string(line) + "\n") != std::string::npos;
}

pid_t start(const Directory& directory, const SpawnOptions& options, int log, int ready) {
  SpawnSpec spec;
  spec.arguments = {options.program.string(), "--directory", directory.path().string(), "--ready-fd",
                    std::to_string(kReadyFd)};
  if (options.until_pid != 0) {
    spec.arguments.insert(spec.arguments.end(), {"--until-pid", std::to_string(options.until_pid)});
  }
  const std::string home = home_directory();
  if (options.temporary) spec.arguments.emplace_back("--temporary");
  spec.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + (home.empty() ? "/" : home), "LANG=C.UTF-8"};
  spec.stderr_fd = log;
  spec.fd3 = ready;
  spec.new_session = true;
  try {
    return spawn_process(spec);
  } catch (const Error& problem) {
    throw Error::format(ErrorCode::worker_failed, "cannot start the worker: {}; is step1x installed completely?",
                        problem.what());
  }
}

}  // namespace

void spawn_worker(const Directory& directory, const SpawnOptions& options) {
  const auto fail = [&](const std::string& why) {
    return Error::format(ErrorCode::worker_failed, "the worker did not start: {} (log: {})", why,
                         (directory.path() / kLogName).string());
  };
  const UniqueFd log = directory.open_file(kLogName, O_RDWR | O_APPEND);
  if (!log) throw fail(fmt::format("cannot open its log: {}", errno_text()));
  const off_t log_start = ::lseek(log.get(), 0, SEEK_END);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw fail(fmt::format("pipe: {}", errno_text()));
  UniqueFd ready(ends[0]);
  UniqueFd ready_writer(ends[1]);
  const pid_t pid = start(directory, options, log.get(), ready_writer.get());
  ready_writer.reset();

  std::string said;
  std::array<char, 4096> buffer{};
  const auto begin = Clock::now();
  bool waits = false;
  bool noticed = false;
  for (;;) {
    // Only one that waits for the lock has to be looked after: any other says something or ends.
    Deadline turn = waits ? Deadline(Clock::now() + kLookForAnother) : options.deadline;
    if (turn && options.deadline) turn = std::min(*turn, *options.deadline);
    if (!wait_for(ready.get(), POLLIN, turn)) {
      if (options.deadline && Clock::now() >= *options.deadline) {
        throw Error(ErrorCode::timeout, waits ? "the previous worker has not left yet: timed out"
                                              : "the worker was not ready in time: timed out");
      }
      if (options.answered && options.answered()) return;
      if (!noticed && options.notice && Clock::now() - begin > kWorthANotice) {
        noticed = true;
        options.notice("waiting for the previous worker to leave");
      }
      continue;
    }
    const ssize_t count = ::read(ready.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    said.append(buffer.data(), static_cast<std::size_t>(count));
    if (has_line(said, kReadyLine)) return;
    waits = waits || has_line(said, kWaitingLine);
  }
  const int status = wait_for_end(pid);
  if (const auto at = said.find(kErrorPrefix); at != std::string::npos)
    throw fail(one_line(said.substr(at + std::string_view(kErrorPrefix).size())));
  const std::string tail = log_tail(log, log_start);
  throw fail(fmt::format("it {}{}{}", describe_exit(status), tail.empty() ? "" : ": ", tail));
}

}  // namespace step1x::ipc
