#include "base/read_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

namespace step1x {

UniqueFd open_regular_file(const std::filesystem::path& path, ErrorCode code) {
  const auto failed = [&](const std::string& why) {
    return Error::format(code, "cannot read {}: {}", path.string(), why);
  };
  // Without O_NONBLOCK, opening a pipe waits for its writer.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0) throw failed(errno_text());
  if (S_ISDIR(info.st_mode)) throw failed("it is a directory");
  if (!S_ISREG(info.st_mode)) throw failed("it is not a regular file");
  return fd;
}

std::string read_regular_file(const std::filesystem::path& path, std::size_t most, ErrorCode code) {
  const UniqueFd fd = open_regular_file(path, code);
  return read_to_end(fd.get(), path.string(), most, code);
}

std::string read_to_end(int fd, const std::string& name, std::size_t most, ErrorCode code) {
  constexpr std::size_t kChunk = std::size_t{1} << 16;
  std::string text;
  for (;;) {
    const std::size_t before = text.size();
    // One byte more than is allowed shows that there is more.
    text.resize(std::min(most + 1, before + std::max(kChunk, before / 2)));
    const ssize_t count = ::read(fd, text.data() + before, text.size() - before);
    const int problem = errno;
    text.resize(before + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    if (count < 0 && problem != EINTR) throw Error::format(code, "cannot read {}: {}", name, errno_text(problem));
    if (count == 0) return text;
    if (text.size() > most)
      throw Error::format(code, "cannot read {}: it is longer than {} bytes, the most that is read", name, most);
  }
}

}  // namespace step1x
