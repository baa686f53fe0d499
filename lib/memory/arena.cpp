#include "memory/arena.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/error.hpp"

// Since Linux 6.1; the C library's headers of Debian 12 do not have it.
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace step1x {

namespace {

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;

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
  void* start = ::mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
  if (start == MAP_FAILED) {
    throw Error::format(ErrorCode::out_of_memory, "cannot map an arena of {} bytes: {}", bytes, errno_text());
  }
  start_ = static_cast<std::byte*>(start);
  size_ = bytes;
  ::madvise(start, bytes, MADV_DONTDUMP);
}

ArenaMapping::~ArenaMapping() {
  ::munmap(start_, size_);
}

std::uint64_t ArenaMapping::prepare(std::uint64_t offset, std::uint64_t bytes) {
  const std::uint64_t first = (offset + kHugePage - 1) / kHugePage * kHugePage;
  const std::uint64_t end = std::min<std::uint64_t>(offset + bytes, size_) / kHugePage * kHugePage;
  std::uint64_t huge = 0;
  for (std::uint64_t at = first; at < end; at += kHugePage) {
    // Only what has a page can be collapsed into one huge page. One at a time: with many, the kernel gives up at the
    // first that it has no room for.
    start_[at] = std::byte{0};
    if (::madvise(start_ + at, kHugePage, MADV_COLLAPSE) != 0) break;
    huge += kHugePage;
  }
  return huge;
}

}  // namespace step1x
