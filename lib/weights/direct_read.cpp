#include "weights/direct_read.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>

#include "weights/safetensors.hpp"

namespace step1x {
namespace {

// Of memory, offsets and lengths: enough for every usual device. One that wants more answers EINVAL.
constexpr std::uint64_t kAlignment = 4096;

}  // namespace

DirectReader::Buffer::Buffer()
    : memory_(static_cast<std::byte*>(::operator new(kBytes, std::align_val_t(kAlignment)))) {}

void DirectReader::Buffer::Free::operator()(std::byte* memory) const {
  ::operator delete(memory, std::align_val_t(kAlignment));
}

DirectReader::DirectReader(int fd) : fd_(fd) {
  const std::string again = fmt::format("/proc/self/fd/{}", fd);
  direct_.reset(::open(again.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  probe_.reset(::open(again.c_str(), O_RDONLY | O_CLOEXEC));
  // Asking for a page that is not there has the kernel fetch it, and without this much of what follows.
  if (probe_) ::posix_fadvise(probe_.get(), 0, 0, POSIX_FADV_RANDOM);
}

// The page table's word first: it fetches nothing. Reading without waiting has the kernel fetch the page, and where
// that comes before the kernel looks again it answers that the page was there. But the page table says of a file that
// is neither one's own nor writable that all of it is there (Linux, mm/mincore.c: can_do_mincore).
bool DirectReader::cached(std::uint64_t offset) const {
  void* page = ::mmap(nullptr, kAlignment, PROT_READ, MAP_SHARED, probe_.get(),
                      static_cast<off_t>(offset / kAlignment * kAlignment));
  if (page != MAP_FAILED) {
    unsigned char resident = 1;
    ::mincore(page, kAlignment, &resident);
    ::munmap(page, kAlignment);
    if ((resident & 1) == 0) return false;
  }
  std::byte one{};
  const iovec where{&one, 1};
  return ::preadv2(probe_.get(), &where, 1, static_cast<off_t>(offset), RWF_NOWAIT) == 1;
}

void DirectReader::read(std::uint64_t offset, std::span<std::byte> out, Buffer& buffer,
                        const std::filesystem::path& file, std::string_view what) const {
  // The whole range is taken to be where its beginning is.
  const bool past = possible() && !out.empty() && !cached(offset);
  while (past && !out.empty()) {
    const std::uint64_t begin = offset / kAlignment * kAlignment;
    const std::uint64_t end = (offset + out.size() + kAlignment - 1) / kAlignment * kAlignment;
    const std::size_t bytes = std::min<std::uint64_t>(Buffer::kBytes, end - begin);
    const ssize_t got = ::pread(direct_.get(), buffer.bytes().data(), bytes, static_cast<off_t>(begin));
    if (got < 0 && errno == EINTR) continue;
    const std::uint64_t before = offset - begin;
    // What it does not manage is left to the ordinary way, which also knows the words for it.
    if (got <= static_cast<ssize_t>(before)) break;
    const std::size_t useful = std::min<std::uint64_t>(static_cast<std::uint64_t>(got) - before, out.size());
    std::memcpy(out.data(), buffer.bytes().data() + before, useful);
    offset += useful;
    out = out.subspan(useful);
  }
  read_exactly(fd_, offset, out, file, what);
}

}  // namespace step1x
