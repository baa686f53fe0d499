#include "base/atomic_file.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <optional>
#include <system_error>
#include <variant>

#include "base/fd.hpp"

namespace step1x {
namespace {

namespace fs = std::filesystem;

// As many links as the kernel follows in one path.
constexpr int kMaxLinks = 40;

[[noreturn]] void fail(const fs::path& path, std::string_view step, int error = errno) {
  const std::string why = fmt::format("cannot write {}: {}: {}", path.string(), step, errno_text(error));
  if (refuses_every_file(error)) throw PlaceRefuses(why);
  throw Error(ErrorCode::failure, why);
}

// What cannot be synced (a file system without fsync) says EINVAL or ENOTSUP; that is not a lost write.
bool sync(int fd) {
  while (::fsync(fd) != 0) {
    if (errno == EINTR) continue;
    return errno == EINVAL || errno == ENOTSUP;
  }
  return true;
}

void write_all(int fd, std::span<const std::byte> bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    } else if (n == 0) {
      fail(path, "write", EIO);
    } else if (errno != EINTR) {
      fail(path, "write");
    }
  }
}

void close_checked(UniqueFd& fd, const fs::path& path) {
  // EINTR from close() means closed on Linux, and everything was synced before.
  if (::close(fd.release()) != 0 && errno != EINTR) fail(path, "close");
}

// The number in /proc/self/fd/N, by whatever name that directory was reached.
std::optional<int> own_descriptor(const fs::path& directory, const fs::path& name) {
  std::error_code ignored;
  const fs::path own = fs::canonical("/proc/self/fd", ignored);
  if (own.empty() || directory != own) return std::nullopt;
  const std::string digits = name.string();
  int fd = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), fd);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return fd;
}

void write_stream(int fd, std::span<const std::byte> bytes, const fs::path& path) {
  // A duplicate shares the offset, so that `{ step1x -o /dev/stdout; other; } > file` keeps both outputs.
  UniqueFd out(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!out) fail(path, "open");
  write_all(out.get(), bytes, path);
  close_checked(out, path);
}

void write_special(const fs::path& path, std::span<const std::byte> bytes) {
  UniqueFd out(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
  if (!out) fail(path, "open");
  write_all(out.get(), bytes, path);
  close_checked(out, path);
}

// Holds the signals that end a program back while a hidden file has a name, so that an interrupt leaves none behind. By
// their handlers, which are the whole process's: libraries have threads of their own, which no mask of ours reaches.
class SignalsHeldBack {
 public:
  SignalsHeldBack() {
    const std::lock_guard lock(mutex);
    if (holders++ > 0) return;
    struct sigaction hold{};
    hold.sa_handler = [](int signal) { come = signal; };
    hold.sa_flags = SA_RESTART;
    for (std::size_t i = 0; i < kHeld.size(); ++i) {
      ::sigaction(kHeld[i], nullptr, &before[i]);
      if (before[i].sa_handler != SIG_IGN) ::sigaction(kHeld[i], &hold, nullptr);
    }
  }
  ~SignalsHeldBack() {
    const std::lock_guard lock(mutex);
    if (--holders > 0) return;
    for (std::size_t i = 0; i < kHeld.size(); ++i) ::sigaction(kHeld[i], &before[i], nullptr);
    if (const int signal = come.exchange(0)) ::kill(::getpid(), signal);
  }
  SignalsHeldBack(const SignalsHeldBack&) = delete;
  SignalsHeldBack& operator=(const SignalsHeldBack&) = delete;

 private:
  static constexpr std::array kHeld{SIGINT, SIGTERM, SIGHUP, SIGALRM};
  static inline std::mutex mutex;  // guards holders and before
  static inline int holders = 0;
  static inline std::array<struct sigaction, kHeld.size()> before{};
  static inline std::atomic<int> come = 0;
  static_assert(std::atomic<int>::is_always_lock_free);
};

// Where the new file goes: an open directory and a name in it, with all symbolic links followed if they may be.
struct Target {
  UniqueFd directory;  // O_PATH
  std::string name;
  std::optional<struct stat> old;
};

class Writer {
 public:
  Writer(const fs::path& path, Target target) : path_(path), target_(std::move(target)) {}
  ~Writer() {
    remove_temporary();
    signals_.reset();
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void write(std::span<const std::byte> bytes, Replace replace) {
    open();
    copy_attributes();
    write_all(fd_.get(), bytes, path_);
    if (!sync(fd_.get())) fail(path_, "fsync");
    if (!signals_) signals_.emplace();
    if (temporary_.empty() && !give_name(replace)) {
      // The file system has O_TMPFILE but not the link it needs: once more, through a hidden name.
      fd_.reset();
      open_hidden();
      copy_attributes();
      write_all(fd_.get(), bytes, path_);
      if (!sync(fd_.get())) fail(path_, "fsync");
    }
    if (done_) {
      if (::close(fd_.release()) != 0 && errno != EINTR) fail_in_place("close");
    } else {
      close_checked(fd_, path_);
      rename_hidden(replace);
    }
    sync_directory();
  }

 private:
  int directory() const { return target_.directory.get(); }

  void open() {
    fd_.reset(::openat(directory(), ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666));
    if (fd_) return;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL) fail(path_, "open");
    open_hidden();
  }

  void open_hidden() {
    if (!signals_) signals_.emplace();
    do {
      const std::string name = hidden_name();
      fd_.reset(::openat(directory(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
      if (fd_) temporary_ = name;
    } while (!fd_ && errno == EEXIST);
    if (!fd_) fail(path_, "open");
  }

  void copy_attributes() {
    if (!target_.old) return;
    struct stat mine{};
    if (::fstat(fd_.get(), &mine) != 0) fail(path_, "fstat");
    const bool foreign = mine.st_uid != target_.old->st_uid || mine.st_gid != target_.old->st_gid;
    // Only root may give files away; for others the new file is theirs, as with cp or an editor.
    if (foreign && ::fchown(fd_.get(), target_.old->st_uid, target_.old->st_gid) != 0 && errno != EPERM) {
      fail(path_, "fchown");
    }
    if (::fchmod(fd_.get(), target_.old->st_mode & 0777) != 0) fail(path_, "fchmod");
  }

  // Names the nameless file. False: this file system cannot.
  bool give_name(Replace replace) {
    const std::string self = fmt::format("/proc/self/fd/{}", fd_.get());
    int error = EEXIST;
    const auto link = [&](const std::string& name) {
      error = ::linkat(AT_FDCWD, self.c_str(), directory(), name.c_str(), AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
      return error == 0;
    };
    // Where nothing is to be replaced, no hidden name is needed that SIGKILL could leave behind.
    if (replace == Replace::never || !target_.old) done_ = link(target_.name);
    while (replace == Replace::always && error == EEXIST) {
      if (const std::string name = hidden_name(); link(name)) temporary_ = name;
    }
    if (error == 0) return true;
    if (error == EEXIST) throw exists();
    // ENOENT: no /proc here.
    if (error == ENOENT || error == EOPNOTSUPP || error == ENOSYS || error == EPERM || error == EXDEV) return false;
    fail(path_, "linkat", error);
  }

  void rename_hidden(Replace replace) {
    const char* from = temporary_.c_str();
    const char* to = target_.name.c_str();
    if (replace == Replace::always) {
      if (::renameat(directory(), from, directory(), to) != 0) fail(path_, "rename");
      temporary_.clear();
      return;
    }
    if (::linkat(directory(), from, directory(), to, 0) == 0) {
      remove_temporary();
      return;
    }
    if (errno == EEXIST) throw exists();
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS) fail(path_, "linkat");
    if (::renameat2(directory(), from, directory(), to, RENAME_NOREPLACE) != 0) {
      if (errno == EEXIST) throw exists();
      fail(path_, "rename");
    }
    temporary_.clear();
  }

  // The new file is whole and has its name by now, but a power cut may still take either.
  [[noreturn]] void fail_in_place(std::string_view step, int error = errno) const {
    throw Error::format(ErrorCode::failure, "{} is written but may not survive a power cut: {}: {}", path_.string(),
                        step, errno_text(error));
  }

  void sync_directory() {
    const UniqueFd fd(::openat(directory(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) {
      if (errno == EACCES) return;  // a directory one may write but not list
      fail_in_place("open directory");
    }
    if (!sync(fd.get())) fail_in_place("fsync directory");
  }

  void remove_temporary() {
    if (!temporary_.empty()) ::unlinkat(directory(), temporary_.c_str(), 0);
    temporary_.clear();
  }

  std::string hidden_name() const {
    std::uint64_t random = 0;
    if (::getrandom(&random, sizeof random, 0) != sizeof random) fail(path_, "getrandom");
    // NAME_MAX is 255 bytes; a long name is shortened, because only the random part has to differ.
    return fmt::format(".{}.{:016x}.tmp", target_.name.substr(0, 200), random);
  }

  FileExists exists() const { return FileExists(fmt::format("{} exists already and is not replaced", path_.string())); }

  const fs::path& path_;
  Target target_;
  UniqueFd fd_;
  std::string temporary_;  // the hidden file's name while it exists
  std::optional<SignalsHeldBack> signals_;
  bool done_ = false;  // the file has its final name
};

// What is there already and is written to itself: a descriptor of this process, or a device, pipe or socket.
struct Stream {
  int fd;
};
struct Special {};
using Place = std::variant<Target, Stream, Special>;

[[noreturn]] void fail_directory(const fs::path& path) {
  throw Error::format(ErrorCode::failure, "cannot write {}: it is a directory; give a file name", path.string());
}

fs::path directory_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// Throws where nothing can be written to, as far as that shows without writing.
Place find_place(const fs::path& path, Replace replace) {
  if (path.empty()) throw Error(ErrorCode::failure, "cannot write a file: its name is empty");
  fs::path at = path;
  for (int links = 0;; ++links) {
    if (!at.has_filename() || at.filename() == "." || at.filename() == "..") fail_directory(path);
    if (links == kMaxLinks) fail(path, "open", ELOOP);

    Target target;
    target.name = at.filename().string();
    target.directory.reset(::open(directory_of(at).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!target.directory) fail(path, "open directory " + directory_of(at).string());
    if (target.name.size() > NAME_MAX) fail(path, "open", ENAMETOOLONG);

    struct stat old{};
    const bool found = ::fstatat(target.directory.get(), target.name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0;
    if (!found && errno != ENOENT) fail(path, "stat");
    if (found && S_ISDIR(old.st_mode)) fail_directory(path);
    if (found && replace == Replace::always) {
      if (S_ISLNK(old.st_mode)) {
        std::error_code error;
        if (const auto fd = own_descriptor(fs::canonical(directory_of(at), error), at.filename())) {
          return Stream{*fd};
        }
        // The kernel follows no link of somebody else's in a folder that everybody may write to
        // (fs.protected_symlinks), and would have said so to a shell.
        const UniqueFd followed(::openat(target.directory.get(), target.name.c_str(), O_PATH | O_CLOEXEC));
        if (!followed && errno == EACCES) fail(path, "open");
        const fs::path to = fs::read_symlink(at, error);
        if (error) fail(path, "readlink", error.value());
        at = to.is_absolute() ? to : directory_of(at) / to;
        continue;
      }
      if (!S_ISREG(old.st_mode)) return Special{};
      if (::faccessat(target.directory.get(), target.name.c_str(), W_OK, AT_EACCESS) != 0) fail(path, "open");
      target.old = old;
    }
    return target;
  }
}

}  // namespace

bool refuses_every_file(int error) {
  return error == ENOSPC || error == EDQUOT || error == EROFS || error == EIO;
}

void check_can_write(const fs::path& path, Replace replace) {
  const Place place = find_place(path, replace);
  const auto* target = std::get_if<Target>(&place);
  if (target != nullptr && ::faccessat(target->directory.get(), ".", W_OK | X_OK, AT_EACCESS) != 0)
    fail(path, "open directory");
}

void check_can_make_files(const fs::path& folder) {
  if (::faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) != 0) fail(folder, "open directory");
}

void write_file_atomically(const fs::path& path, std::span<const std::byte> bytes, Replace replace) {
  Place place = find_place(path, replace);
  if (auto* target = std::get_if<Target>(&place)) return Writer(path, std::move(*target)).write(bytes, replace);
  if (const auto* stream = std::get_if<Stream>(&place)) return write_stream(stream->fd, bytes, path);
  write_special(path, bytes);
}

}  // namespace step1x
