#include "ipc/lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>

#include <algorithm>

#include "base/error.hpp"

namespace step1x::ipc {
namespace {

Error failed(const Directory& directory, const char* name, const char* what) {
  return Error::format(ErrorCode::worker_failed, "cannot {} {}: {}", what, (directory.path() / name).string(),
                       errno_text());
}

UniqueFd open_file(const Directory& directory, const char* name) {
  UniqueFd fd = directory.open_file(name, O_RDWR);
  if (!fd) throw failed(directory, name, "open");
  return fd;
}

}  // namespace

Lock Lock::acquire(const Directory& directory, const char* name) {
  UniqueFd fd = open_file(directory, name);
  while (::flock(fd.get(), LOCK_EX) != 0) {
    if (errno != EINTR) throw failed(directory, name, "lock");
  }
  return Lock(std::move(fd));
}

std::optional<Lock> Lock::try_acquire(const Directory& directory, const char* name) {
  UniqueFd fd = open_file(directory, name);
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::nullopt;
    if (errno != EINTR) throw failed(directory, name, "lock");
  }
  return Lock(std::move(fd));
}

void Lock::raise_above(int lowest) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const int target = static_cast<int>(std::min<rlim_t>(static_cast<rlim_t>(lowest), limit.rlim_cur - 1));
  // The flock belongs to the open file description, which both descriptors share.
  const int raised = ::fcntl(fd_.get(), F_DUPFD_CLOEXEC, target);
  if (raised >= 0) fd_.reset(raised);
}

}  // namespace step1x::ipc
