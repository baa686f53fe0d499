// An LD_PRELOAD library that makes the Nth call of a kind fail, to show that a program leaves its files whole whatever
// fails. It is driven by the environment, and calls the kernel directly, so it works under sanitizers too
// (ASAN_OPTIONS=verify_asan_link_order=0, and the like).
//
//   STEP1X_TEST_FAULT=KIND:N:HOW[:forever][,...]     up to four
//     KIND   open | write | fsync | close | rename | linkat | unlink | poll
//     N      the first call that fails, from 1; later ones work again, unless "forever"
//     HOW    an errno name; SHORT (write: half of the bytes are written, without an error); KILL (SIGKILL instead of
//            the call); INT, ALRM (that signal, and then the call); LATE (poll, which knows nothing else: it returns
//            50 ms late); PAUSE (open: it returns a second late; unlink: it begins so)
//   STEP1X_TEST_FAULT_UNDER=DIR
//     only calls on files in DIR and below count; without it, all do
//   STEP1X_TEST_CALLS=FILE
//     when the program ends in good order, "KIND COUNT" for each kind
//
// Counted are opens for writing, and calls on regular files and directories; sockets, pipes and terminals never are.
// close() really closes before it reports a failure, as Linux does.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kNone = 0;
constexpr int kShort = -1;
constexpr int kKill = -2;
constexpr int kInt = -3;
constexpr int kLate = -4;
constexpr int kPause = -5;
constexpr int kAlarm = -6;

struct ErrnoName {
  const char* name;
  int value;
};
constexpr ErrnoName kErrnoNames[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},       {"EINTR", EINTR},
                                     {"EDQUOT", EDQUOT}, {"EACCES", EACCES}, {"EPERM", EPERM},
                                     {"EROFS", EROFS},   {"EXDEV", EXDEV},   {"EOPNOTSUPP", EOPNOTSUPP},
                                     {"ENOENT", ENOENT}, {"EINVAL", EINVAL}, {"SHORT", kShort},
                                     {"KILL", kKill},    {"INT", kInt},      {"LATE", kLate},
                                     {"PAUSE", kPause},  {"ALRM", kAlarm}};

struct Plan {
  char kind[16] = "";
  long first = 0;
  int how = kNone;
  bool forever = false;
  std::atomic<long> calls{0};
};

struct Plans {
  Plan of[4];

  Plans() {
    const char* text = getenv("STEP1X_TEST_FAULT");
    for (Plan& plan : of) {
      if (text == nullptr) return;
      char how[16] = "";
      char last[16] = "";
      const int fields = sscanf(text, "%15[^:,]:%ld:%15[^:,]:%15[^,]", plan.kind, &plan.first, how, last);
      for (const ErrnoName& e : kErrnoNames) {
        if (strcmp(e.name, how) == 0) plan.how = e.value;
      }
      plan.forever = strcmp(last, "forever") == 0;
      if (fields < 3 || plan.how == kNone || (fields == 4 && !plan.forever)) {
        dprintf(2, "fault_shim: cannot read STEP1X_TEST_FAULT=%s\n", text);
        _exit(99);
      }
      text = strchr(text, ',');
      if (text != nullptr) ++text;
    }
  }
};

bool below(const char* path) {
  const char* under = getenv("STEP1X_TEST_FAULT_UNDER");
  if (under == nullptr) return true;
  const size_t length = strlen(under);
  return strncmp(path, under, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

bool counted(int fd) {
  struct stat st{};
  if (fstat(fd, &st) != 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) return false;
  char link[64];
  char path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const long n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  path[n > 0 ? n : 0] = '\0';
  return below(path);
}

// A name relative to an open directory counts as the directory does.
bool counted_at(int directory, const char* path) {
  if (path[0] != '/' && directory != AT_FDCWD) return counted(directory);
  if (path[0] == '/') return below(path);
  char cwd[4096];
  return syscall(SYS_getcwd, cwd, sizeof cwd) > 0 && below(cwd);
}

// How many calls of each kind there were, for who asks.
struct Calls {
  static constexpr const char* kKinds[] = {"open", "write", "fsync", "close", "rename", "linkat", "unlink"};
  std::atomic<long> of[7];

  void count(const char* kind) {
    for (int i = 0; i < 7; ++i) {
      if (strcmp(kKinds[i], kind) == 0) ++of[i];
    }
  }
  ~Calls() {
    const char* file = getenv("STEP1X_TEST_CALLS");
    if (file == nullptr) return;
    const int fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    for (int i = 0; i < 7; ++i) dprintf(fd, "%s %ld\n", kKinds[i], of[i].load());
    syscall(SYS_close, fd);
  }
};

// What the call of this kind that is being made now shall do.
int fault(const char* kind) {
  static Plans plans;
  static Calls calls;
  calls.count(kind);
  int how = kNone;
  for (Plan& plan : plans.of) {
    if (plan.how == kNone || strcmp(plan.kind, kind) != 0) continue;
    const long call = ++plan.calls;
    if (call == plan.first || (plan.forever && call > plan.first)) how = plan.how;
  }
  if (how == kKill) kill(getpid(), SIGKILL);
  if (how == kInt) kill(getpid(), SIGINT);
  if (how == kAlarm) kill(getpid(), SIGALRM);
  return how;
}

// True, with errno set, when the call is to fail.
bool fails(const char* kind) {
  const int how = fault(kind);
  if (how > 0) errno = how;
  return how > 0;
}

int open_at(int directory, const char* path, int flags, mode_t mode) {
  if ((flags & O_ACCMODE) != O_RDONLY && (flags & O_PATH) == 0) {
    struct stat st{};
    const bool special = fstatat(directory, path, &st, 0) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
    const int how = !special && counted_at(directory, path) ? fault("open") : kNone;
    if (how > 0) {
      errno = how;
      return -1;
    }
    const int fd = static_cast<int>(syscall(SYS_openat, directory, path, flags, mode));
    if (how == kPause) usleep(1'000'000);
    return fd;
  }
  return static_cast<int>(syscall(SYS_openat, directory, path, flags, mode));
}

mode_t mode_of(int flags, va_list& args) {
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(args, mode_t) : 0;
}

ssize_t write_some(long number, int fd, const void* data, size_t size, off_t offset) {
  if (counted(fd)) {
    const int how = fault("write");
    if (how > 0) {
      errno = how;
      return -1;
    }
    if (how == kShort && size > 1) size /= 2;
  }
  return syscall(number, fd, data, size, offset);
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list args;
  va_start(args, flags);
  const mode_t mode = mode_of(flags, args);
  va_end(args);
  return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int directory, const char* path, int flags, ...) {
  va_list args;
  va_start(args, flags);
  const mode_t mode = mode_of(flags, args);
  va_end(args);
  return open_at(directory, path, flags, mode);
}

int open64(const char* path, int flags, ...) __attribute__((alias("open")));
int openat64(int directory, const char* path, int flags, ...) __attribute__((alias("openat")));

ssize_t write(int fd, const void* data, size_t size) {
  return write_some(SYS_write, fd, data, size, 0);
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  return write_some(SYS_pwrite64, fd, data, size, offset);
}

ssize_t writev(int fd, const struct iovec* parts, int count) {
  if (counted(fd) && fails("write")) return -1;
  return syscall(SYS_writev, fd, parts, count);
}

int fsync(int fd) {
  return counted(fd) && fails("fsync") ? -1 : static_cast<int>(syscall(SYS_fsync, fd));
}

int fdatasync(int fd) {
  return counted(fd) && fails("fsync") ? -1 : static_cast<int>(syscall(SYS_fdatasync, fd));
}

int close(int fd) {
  // Descriptors that were only read from or only name a place have nothing to lose.
  const int flags = fcntl(fd, F_GETFL);
  const bool writable = flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_RDONLY;
  const int how = writable && counted(fd) ? fault("close") : kNone;
  const int result = static_cast<int>(syscall(SYS_close, fd));
  if (how <= 0) return result;
  errno = how;
  return -1;
}

int renameat2(int from_directory, const char* from, int to_directory, const char* to, unsigned flags) {
  if (counted_at(to_directory, to) && fails("rename")) return -1;
  return static_cast<int>(syscall(SYS_renameat2, from_directory, from, to_directory, to, flags));
}

int renameat(int from_directory, const char* from, int to_directory, const char* to) {
  return renameat2(from_directory, from, to_directory, to, 0);
}

int rename(const char* from, const char* to) {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_directory, const char* from, int to_directory, const char* to, int flags) {
  if (counted_at(to_directory, to) && fails("linkat")) return -1;
  return static_cast<int>(syscall(SYS_linkat, from_directory, from, to_directory, to, flags));
}

int link(const char* from, const char* to) {
  return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int poll(struct pollfd* entries, nfds_t count, int timeout) {
  const long result = syscall(SYS_poll, entries, count, timeout);
  const int error = errno;
  if (fault("poll") == kLate) usleep(50'000);
  errno = error;
  return static_cast<int>(result);
}

int unlinkat(int directory, const char* path, int flags) {
  const int how = counted_at(directory, path) ? fault("unlink") : kNone;
  if (how == kPause) usleep(1'000'000);
  if (how > 0) errno = how;
  return how > 0 ? -1 : static_cast<int>(syscall(SYS_unlinkat, directory, path, flags));
}

int unlink(const char* path) {
  return unlinkat(AT_FDCWD, path, 0);
}

}  // extern "C"
