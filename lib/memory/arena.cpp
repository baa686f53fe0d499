#include "memory/arena.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/error.hpp"
#include "memory/alignment.hpp"

// Since Linux 6.1; the C library's headers of Debian 12 do not have it.
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace step1x {

namespace {

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;
// Only what has a page can be collapsed into huge ones.
bool collapse(std::byte* start, std::uint64_t bytes) {
  for (std::uint64_t at = 0; at < bytes; at += kHugePage) start[at] = std::byte{0};
  return ::madvise(start, bytes, MADV_COLLAPSE) == 0;
}

}  // namespace

UniqueFd create_arena(std::uint64_t bytes) {
  UniqueFd fd(::memfd_create("step1x-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 || ::fcntl(fd.get(), F_ADD_SEALS, kSizeSeals) != 0) {
    throw Error::format(ErrorCode::out_of_memory, "cannot make an arena of {} bytes: {}", bytes, errno_text());
  }
  return fd;
}

void seal_arena(int fd) {
  // Not F_SEAL_WRITE: that fails while the filler still has it mapped, or a device its pages pinned.
  if (::fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0)
    throw Error::format(ErrorCode::failure, "cannot seal an arena: {}", errno_text());
}

ArenaMapping::ArenaMapping(int fd, std::uint64_t bytes, Access access) {
  // F_GET_SEALS fails on everything but a memfd (or a file in tmpfs).
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSizeSeals) != kSizeSeals)
    throw Error(ErrorCode::protocol, "an arena came without the seals SHRINK and GROW");
  if (access == Access::read && (seals & (F_SEAL_FUTURE_WRITE | F_SEAL_WRITE)) == 0)
    throw Error(ErrorCode::protocol, "an arena that is said to be filled can still be written to");
  struct stat info{};
  if (::fstat(fd, &info) != 0 || static_cast<std::uint64_t>(info.st_size) != bytes || bytes == 0) {
    throw Error::format(ErrorCode::protocol, "an arena of {} bytes was expected, and one of {} came", bytes,
                        info.st_size);
  }
  const int protection = access == Access::fill ? PROT_READ | PROT_WRITE : PROT_READ;
  // Only what begins at a multiple of a huge page can lie in huge pages, and the kernel maps a file at any page.
  reserved_ = ::mmap(nullptr, bytes + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved_ != MAP_FAILED) {
    const std::uint64_t begin = reinterpret_cast<std::uintptr_t>(reserved_);
    start_ = static_cast<std::byte*>(reserved_) + (align_up(begin, kHugePage) - begin);
  }
  if (reserved_ == MAP_FAILED || ::mmap(start_, bytes, protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
    const std::string why = errno_text();
    if (reserved_ != MAP_FAILED) ::munmap(reserved_, bytes + kHugePage);
    throw Error::format(ErrorCode::out_of_memory, "cannot map an arena of {} bytes: {}", bytes, why);
  }
  size_ = bytes;
  ::madvise(start_, bytes, MADV_DONTDUMP);
}

ArenaMapping::~ArenaMapping() {
  ::munmap(reserved_, size_ + kHugePage);
}

std::uint64_t ArenaMapping::prepare(std::uint64_t offset, std::uint64_t bytes) {
  const std::uint64_t first = (offset + kHugePage - 1) / kHugePage * kHugePage;
  const std::uint64_t end = std::min<std::uint64_t>(offset + bytes, size_) / kHugePage * kHugePage;
  std::uint64_t huge = 0;
  while (first + huge < end) {
    const std::uint64_t many = std::min(kPreparedAtOnce, end - first - huge);
    if (!collapse(start_ + first + huge, many)) break;
    huge += many;
  }
  // The kernel gave up within these, at the first that it has no room for.
  while (first + huge < end && collapse(start_ + first + huge, kHugePage)) huge += kHugePage;
  return huge;
}

}  // namespace step1x
