#include "isolated.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.hpp"

namespace step1x::cli {
namespace {

constexpr std::string_view kIsolated = "isolated-";

UniqueFd lock_folder(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC));
  if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) fd.reset();
  return fd;
}

// Directories of commands that were killed before their worker was there to remove them: nobody holds their lock. A
// young one may belong to somebody who is just about to take it.
void remove_abandoned(const std::filesystem::path& parent) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(parent, ignored)) {
    if (!entry.path().filename().string().starts_with(kIsolated)) continue;
    const auto age = std::filesystem::file_time_type::clock::now() - entry.last_write_time(ignored);
    if (age < std::chrono::minutes(1) || !lock_folder(entry.path())) continue;
    std::filesystem::remove_all(entry.path(), ignored);
  }
}

}  // namespace

ipc::ClientOptions isolated(ipc::ClientOptions options) {
  const ipc::Directory parent = ipc::Directory::open(options.directory);
  remove_abandoned(parent.path());
  std::string path = (parent.path() / fmt::format("{}XXXXXX", kIsolated)).string();
  if (::mkdtemp(path.data()) == nullptr)
    throw Error::format(ErrorCode::worker_failed, "cannot make {}: {}", path, errno_text());
  // Held to the end of the process.
  static const UniqueFd mine = lock_folder(path);
  options.directory.path = path;
  options.until_pid = ::getpid();
  options.temporary = true;
  return options;
}

}  // namespace step1x::cli
