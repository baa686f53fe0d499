#include "ipc/directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/error.hpp"
#include "base/process.hpp"

namespace step1x::ipc {
namespace {

namespace fs = std::filesystem;

Error failed(const fs::path& path, const std::string& why) {
  return Error(ErrorCode::worker_failed, fmt::format("cannot use the worker's directory {}: {}", path.string(), why));
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  std::string text = name.data();
  for (char& c : text) {
    if (c == '/') c = '_';
  }
  return text == "." || text == ".." ? "localhost" : text;
}

// Makes what is missing of the path, for this user only. What exists already keeps its mode: a home is not ours to
// change.
void make_directories(const fs::path& path) {
  fs::path made;
  for (const fs::path& part : path) {
    made /= part;
    if (::mkdir(made.c_str(), 0700) == 0) {
      ::chmod(made.c_str(), 0700);  // the umask may have taken away our own rights
      continue;
    }
    const int error = errno;
    std::error_code ignored;
    if (error != EEXIST && !fs::is_directory(made, ignored))
      throw failed(path, fmt::format("mkdir {}: {}; set STEP1X_RUNTIME_DIR to a folder of your own", made.string(),
                                     errno_text(error)));
  }
}

UniqueFd open_checked(const fs::path& path) {
  UniqueFd fd(::open(path.c_str(), O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC));
  if (!fd) {
    const int error = errno;
    std::error_code ignored;
    if (fs::is_symlink(path, ignored))
      throw failed(path, "it is a symbolic link; remove it, or name the real directory in STEP1X_RUNTIME_DIR");
    throw failed(path, errno_text(error));
  }
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) throw failed(path, errno_text());
  if (info.st_uid != ::geteuid()) {
    throw failed(path, fmt::format("it belongs to user {}, not to {}; move it away, or set STEP1X_RUNTIME_DIR",
                                   info.st_uid, ::geteuid()));
  }
  if ((info.st_mode & 077) != 0) {
    throw failed(
        path, fmt::format("others may enter it (mode {:04o}); run: chmod 700 {}", info.st_mode & 07777, path.string()));
  }
  return fd;
}

}  // namespace

fs::path Directory::resolve(const Options& options) {
  if (!options.path.empty()) return fs::absolute(options.path).lexically_normal();
  const std::string home = home_directory();
  if (home.empty()) {
    throw Error::format(ErrorCode::worker_failed,
                        "user {} has no home directory in the user database; set STEP1X_RUNTIME_DIR", ::geteuid());
  }
  return fs::path(home) / ".local/state/step1x" / host_name();
}

Directory Directory::open(const Options& options) {
  fs::path path = resolve(options);
  if (!path.has_filename()) path = path.parent_path();
  make_directories(path);
  UniqueFd fd = open_checked(path);
  return {std::move(path), std::move(fd)};
}

std::optional<Directory> Directory::open_existing(const Options& options) {
  fs::path path = resolve(options);
  if (!path.has_filename()) path = path.parent_path();
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0 && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  UniqueFd fd = open_checked(path);
  return Directory(std::move(path), std::move(fd));
}

UniqueFd Directory::open_file(const char* name, int flags) const {
  UniqueFd fd(::openat(fd_.get(), name, flags | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  // Under a umask that takes away our own rights it would keep the next client out.
  if (fd) ::fchmod(fd.get(), 0600);
  return fd;
}

std::string Directory::via_fd(const char* name) const {
  return fmt::format("/proc/self/fd/{}/{}", fd_.get(), name);
}

}  // namespace step1x::ipc
