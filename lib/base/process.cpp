#include "base/process.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/error.hpp"
#include "base/utf8.hpp"

namespace step1x {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

InheritedSignals& signals() {
  static InheritedSignals inherited{};
  return inherited;
}

struct FileActions {
  FileActions() { ::posix_spawn_file_actions_init(&value); }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&value); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  posix_spawn_file_actions_t value{};
};

struct Attributes {
  Attributes() { ::posix_spawnattr_init(&value); }
  ~Attributes() { ::posix_spawnattr_destroy(&value); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  posix_spawnattr_t value{};
};

}  // namespace

pid_t spawn_process(const SpawnSpec& spec) {
  FileActions actions;
  // stderr first: were it descriptor 3, the next action would overwrite it.
  ::posix_spawn_file_actions_adddup2(&actions.value, spec.stderr_fd, 2);
  if (spec.fd3 >= 0) ::posix_spawn_file_actions_adddup2(&actions.value, spec.fd3, 3);
  ::posix_spawn_file_actions_addopen(&actions.value, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions.value, 1, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_addclosefrom_np(&actions.value, spec.fd3 >= 0 ? 4 : 3);
  ::posix_spawn_file_actions_addchdir_np(&actions.value, "/");

  Attributes attributes;
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::sigdelset(&all, SIGKILL);
  ::sigdelset(&all, SIGSTOP);
  ::posix_spawnattr_setsigmask(&attributes.value, &none);
  ::posix_spawnattr_setsigdefault(&attributes.value, &all);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (spec.new_session) flags |= POSIX_SPAWN_SETSID;
  ::posix_spawnattr_setflags(&attributes.value, flags);

  pid_t pid = -1;
  const std::vector<char*> argv = pointers(spec.arguments);
  const std::vector<char*> envp = pointers(spec.environment);
  const int problem = ::posix_spawn(&pid, argv[0], &actions.value, &attributes.value, argv.data(), envp.data());
  if (problem != 0) throw Error::format(ErrorCode::failure, "{}: {}", spec.arguments[0], errno_text(problem));
  return pid;
}

void begin_process() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF)
        // The lowest one that is free, which is this one.
        [[maybe_unused]]
      const int same = ::open("/dev/null", (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
  }
  InheritedSignals& inherited = signals();
  ::sigemptyset(&inherited.ignored);
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action{};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN)
      ::sigaddset(&inherited.ignored, signal);
  }
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  ::signal(SIGCHLD, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, &inherited.blocked);
}

const InheritedSignals& inherited_signals() {
  return signals();
}

pid_t spawn_command(const std::vector<std::string>& command) {
  const std::vector<char*> words = pointers(command);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw Error::format(ErrorCode::failure, "pipe: {}", errno_text());
  UniqueFd ended(ends[0]);
  UniqueFd telling(ends[1]);
  // Not posix_spawn(): it has no way to leave a signal ignored that is not ignored here.
  const pid_t pid = ::fork();
  if (pid < 0) throw Error::format(ErrorCode::failure, "cannot start {}: {}", command[0], errno_text());
  if (pid == 0) {
    const InheritedSignals& inherited = signals();
    for (int signal = 1; signal < NSIG; ++signal)
      ::signal(signal, ::sigismember(&inherited.ignored, signal) == 1 ? SIG_IGN : SIG_DFL);
    ::sigprocmask(SIG_SETMASK, &inherited.blocked, nullptr);
    ::execvp(words[0], words.data());
    const int problem = errno;
    [[maybe_unused]] const ssize_t told = ::write(telling.get(), &problem, sizeof problem);
    ::_exit(127);
  }
  telling.reset();
  int problem = 0;
  ssize_t count = 0;
  do {
    count = ::read(ended.get(), &problem, sizeof problem);
  } while (count < 0 && errno == EINTR);
  if (count != static_cast<ssize_t>(sizeof problem)) return pid;
  wait_for_end(pid);
  throw Error::format(ErrorCode::usage, "cannot run {}: {}", command[0], errno_text(problem));
}

int wait_for_end(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR)
      throw Error::format(ErrorCode::failure, "how process {} has ended cannot be learnt: {}", child, errno_text());
  }
  return status;
}

// By system call: glibc 2.36 declares its functions for these two without extern "C".
UniqueFd open_pidfd(pid_t pid) {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

void signal_pidfd(int pidfd, int signal) {
  ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0);
}

std::string describe_exit(int status) {
  if (WIFSIGNALED(status))
    return fmt::format("was killed by signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  return fmt::format("exited with code {}", WEXITSTATUS(status));
}

std::uint64_t memory_kills() {
  std::ifstream file("/proc/vmstat");
  std::string key;
  std::uint64_t value = 0;
  while (file >> key >> value) {
    if (key == "oom_kill") return value;
  }
  return 0;
}

std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool space = static_cast<unsigned char>(c) <= ' ' || c == 0x7f;
    if (!space) {
      out.push_back(c);
    } else if (!out.empty() && out.back() != ' ') {
      out.push_back(' ');
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  // What is left are those beyond ASCII.
  return printable(out);
}

std::string home_directory() {
  std::vector<char> buffer(16 * 1024);
  passwd entry{};
  passwd* found = nullptr;
  ::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found);
  if (found != nullptr) return found->pw_dir != nullptr && found->pw_dir[0] == '/' ? found->pw_dir : "";
  // A number without a name, as containers run programs under.
  const char* home = std::getenv("HOME");
  return home != nullptr && home[0] == '/' ? home : "";
}

std::string program_directory() {
  std::error_code problem;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", problem);
  if (problem) throw Error::format(ErrorCode::failure, "cannot read /proc/self/exe: {}", problem.message());
  return path.parent_path().string();
}

}  // namespace step1x
