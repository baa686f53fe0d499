// The directory in which client and worker meet (lib/README.md, Starting and meeting), mode 0700, owned by this user:
// <home from getpwuid>/.local/state/step1x/<hostname>. The same from a shell, cron, ssh and `env -i`, because no
// environment variable but the one explicit override takes part. An opened Directory is a checked
// descriptor; files in it are reached through the descriptor, so that nobody can swap the path afterwards.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/fd.hpp"

namespace step1x::ipc {

class Directory {
 public:
  struct Options {
    // STEP1X_RUNTIME_DIR or the config's runtime_dir; empty: the default.
    std::filesystem::path path;
  };

  // Creates what is missing, then checks. Throws Error(worker_failed) that names the directory, what is wrong with it
  // and the command that mends it.
  static Directory open(const Options& options);
  // nullopt when it does not exist.
  static std::optional<Directory> open_existing(const Options& options);

  // The absolute path that open() would use.
  static std::filesystem::path resolve(const Options& options);

  const std::filesystem::path& path() const { return path_; }
  int fd() const { return fd_.get(); }
  // Opens or makes a file in it, mode 0600 whatever the umask is. Empty with errno set when that fails.
  UniqueFd open_file(const char* name, int flags) const;
  // A path of a file in it, at most 40 bytes long whatever the directory's own is: sun_path holds 107.
  std::string via_fd(const char* name) const;

 private:
  Directory(std::filesystem::path path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::filesystem::path path_;
  UniqueFd fd_;
};

inline constexpr const char* kSocketName = "worker.sock";
inline constexpr const char* kWorkerLockName = "worker.lock";
inline constexpr const char* kSpawnLockName = "spawn.lock";
inline constexpr const char* kLogName = "worker.log";

}  // namespace step1x::ipc
