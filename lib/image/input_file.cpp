#include "image/input_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "image/format.hpp"
#include "image/messages.hpp"

namespace step1x::image {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;

[[noreturn]] void fail_size(const std::string& name, std::uint64_t max_bytes) {
  cannot_read(name, fmt::format("it is larger than {} bytes, the most that is read", max_bytes));
}

// Fewer bytes than asked for only at the end of the file.
std::size_t read_some(int fd, std::span<std::byte> into, const std::string& name) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t n = ::read(fd, into.data() + done, into.size() - done);
    if (n == 0) break;
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (errno != EINTR) {
      // The disk's or the network's fault, which may be over the next time.
      throw Error::format(ErrorCode::failure, "cannot read {}: {}", printable_line(name), errno_text());
    }
  }
  return done;
}

}  // namespace

PictureFile read_picture_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  const std::string name = path.string();
  // Without O_NONBLOCK, opening a fifo waits for its writer.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) {
    const int error = errno;
    cannot_read(name, errno_text(error));
  }
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) cannot_read(name, errno_text());
  if (S_ISDIR(st.st_mode)) cannot_read(name, "it is a directory");
  if (!S_ISREG(st.st_mode)) cannot_read(name, "it is not a regular file; use - to read a picture from standard input");
  PictureFile file;
  constexpr std::int64_t kNanoseconds = 1'000'000'000;
  file.size = static_cast<std::uint64_t>(st.st_size);
  file.mtime_ns = st.st_mtim.tv_sec * kNanoseconds + st.st_mtim.tv_nsec;
  if (file.size > max_bytes) fail_size(name, max_bytes);

  file.bytes.resize(std::min<std::size_t>(file.size, kSniffedBytes));
  const std::size_t head = read_some(fd.get(), file.bytes, name);
  file.bytes.resize(head);
  if (format_from_content(file.bytes)) {
    file.bytes.resize(file.size);
    // A file that shrinks meanwhile gives fewer bytes, and the decoder says what is missing.
    file.bytes.resize(head + read_some(fd.get(), std::span(file.bytes).subspan(head), name));
  }
  file.whole = file.bytes.size() == file.size;
  return file;
}

std::vector<std::byte> read_stream(int fd, const std::string& name, std::uint64_t max_bytes) {
  std::vector<std::byte> bytes;
  for (;;) {
    const std::size_t before = bytes.size();
    bytes.resize(before + std::max(kChunk, before / 2));
    const std::size_t n = read_some(fd, std::span(bytes).subspan(before), name);
    const bool ended = before + n < bytes.size();
    bytes.resize(before + n);
    if (bytes.size() > max_bytes) fail_size(name, max_bytes);
    if (ended) return bytes;
  }
}

}  // namespace step1x::image
