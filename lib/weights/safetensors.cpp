#include "weights/safetensors.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/error.hpp"

namespace step1x {

namespace {

constexpr std::uint64_t kLengthBytes = 8;
// Linux moves at most this much in one call (MAX_RW_COUNT); asking for less keeps the arithmetic in sight.
constexpr std::size_t kMaxRead = std::size_t{1} << 30;

}  // namespace

std::string format_shape(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::string quote_name(std::string_view name) {
  constexpr std::size_t kShown = 160;
  std::string shown = "'";
  for (const char c : name.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      fmt::format_to(std::back_inserter(shown), "\\x{:02x}", byte);
    } else {
      shown += c;
    }
  }
  return shown + (name.size() > kShown ? "...'" : "'");
}

std::uint64_t check_header_length(std::span<const std::byte> first_bytes, std::uint64_t file_bytes,
                                  std::string_view file) {
  if (file_bytes < kLengthBytes || first_bytes.size() < kLengthBytes) {
    throw Error::format(
        ErrorCode::model_missing,
        "{}: not a safetensors file: it has {} bytes and the format needs 8 at least; get the file again", file,
        file_bytes);
  }
  if (std::memcmp(first_bytes.data(), "version ", kLengthBytes) == 0) {
    throw Error::format(ErrorCode::model_missing,
                        "{}: a Git LFS pointer, not the file itself; fetch it with git lfs pull", file);
  }
  std::uint64_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) length = length << 8 | std::to_integer<std::uint64_t>(first_bytes[i]);
  if (length > kMaxHeaderBytes) {
    throw Error::format(ErrorCode::model_missing,
                        "{}: not a safetensors file: header length {} is over the format's limit of {} bytes", file,
                        length, kMaxHeaderBytes);
  }
  if (length > file_bytes - kLengthBytes) {
    throw Error::format(ErrorCode::model_missing,
                        "{}: truncated: the header takes {} bytes and the file has {}; get the file again", file,
                        length + kLengthBytes, file_bytes);
  }
  return length;
}

void read_exactly(int fd, std::uint64_t offset, std::span<std::byte> out, const std::filesystem::path& file,
                  std::string_view what) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t n =
        ::pread(fd, out.data() + done, std::min(out.size() - done, kMaxRead), static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      throw Error::format(ErrorCode::model_missing, "{}: cannot read {}: {}", file.string(), what, errno_text());
    }
    if (n == 0) {
      throw Error::format(ErrorCode::model_missing,
                          "{}: the file ends at byte {} while reading {} ({} bytes at {}): it was cut after it was "
                          "opened; get the file again",
                          file.string(), offset + done, what, out.size(), offset);
    }
    done += static_cast<std::size_t>(n);
  }
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : path_(path) {
  // Not blocking: opening a FIFO must fail below, not wait for a writer.
  fd_.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd_) throw Error::format(ErrorCode::model_missing, "{}: cannot open: {}", path.string(), errno_text());
  struct stat status{};
  if (::fstat(fd_.get(), &status) != 0) {
    throw Error::format(ErrorCode::model_missing, "{}: cannot read its size: {}", path.string(), errno_text());
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error::format(ErrorCode::model_missing, "{}: not a regular file, so not a safetensors file", path.string());
  }
  file_bytes_ = static_cast<std::uint64_t>(status.st_size);

  std::byte length_bytes[kLengthBytes] = {};
  const std::size_t present = std::min<std::uint64_t>(file_bytes_, kLengthBytes);
  read_exactly(fd_.get(), 0, std::span(length_bytes, present), path_, "the header's length");
  const std::uint64_t length = check_header_length(std::span(length_bytes, present), file_bytes_, path_.string());

  std::string text(length, '\0');
  read_exactly(fd_.get(), kLengthBytes, std::as_writable_bytes(std::span(text)), path_, "the header");
  header_ = parse_header(text, file_bytes_, path_.string());
  for (std::size_t i = 0; i < header_.tensors.size(); ++i) by_name_.emplace(header_.tensors[i].name, i);
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &header_.tensors[found->second];
}

const TensorInfo& SafetensorsFile::at(std::string_view name) const {
  if (const TensorInfo* found = find(name)) return *found;
  throw Error::format(ErrorCode::model_missing, "{}: tensor {} is missing", path_.string(), quote_name(name));
}

void SafetensorsFile::read(const TensorInfo& tensor, std::span<std::byte> out) const {
  if (out.size() != tensor.bytes) {
    throw Error::format(ErrorCode::failure, "{}: tensor {} has {} bytes and was asked for as {}", path_.string(),
                        quote_name(tensor.name), tensor.bytes, out.size());
  }
  read_exactly(fd_.get(), tensor.offset, out, path_, "tensor " + quote_name(tensor.name));
}

}  // namespace step1x
