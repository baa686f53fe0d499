#include "ipc/picture.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/mapped_region.hpp>

#include "base/error.hpp"

namespace step1x::ipc {
namespace {

namespace bi = boost::interprocess;

// Boost.Interprocess maps whatever tells it its handle.
struct Mappable {
  bi::mapping_handle_t get_mapping_handle() const { return {fd, false}; }
  int fd;
};

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;

std::size_t size_of(int width, int height) {
  if (width < 1 || height < 1 || width > kMaxSide || height > kMaxSide ||
      static_cast<std::size_t>(width) * static_cast<std::size_t>(height) > kMaxPixels) {
    throw Error::format(ErrorCode::protocol, "a picture of {}x{} pixels is over the limits (sides to {}, {} pixels)",
                        width, height, kMaxSide, kMaxPixels);
  }
  return static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3;
}

bi::mapped_region map(int fd, bi::mode_t mode, std::size_t size) {
  try {
    return bi::mapped_region(Mappable{fd}, mode, 0, size);
  } catch (const bi::interprocess_exception& problem) {
    throw Error::format(ErrorCode::failure, "cannot map a picture of {} bytes: {}", size, problem.what());
  }
}

}  // namespace

PictureWriter::PictureWriter(int width, int height) {
  const std::size_t size = size_of(width, height);
  fd_.reset(::memfd_create("step1x-picture", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  // fallocate, not ftruncate: with no memory left it fails here, where a write to the mapping would be SIGBUS.
  if (!fd_ || ::fallocate(fd_.get(), 0, 0, static_cast<off_t>(size)) != 0) {
    throw Error::format(ErrorCode::failure, "no memory for a picture of {}x{} pixels ({} bytes): {}", width, height,
                        size, errno_text());
  }
  region_ = map(fd_.get(), bi::read_write, size);
}

std::span<std::byte> PictureWriter::pixels() {
  return {static_cast<std::byte*>(region_.get_address()), region_.get_size()};
}

UniqueFd PictureWriter::seal() {
  region_ = {};  // F_SEAL_WRITE fails while a writable mapping exists
  const auto seal = [this](int seals) { return ::fcntl(fd_.get(), F_ADD_SEALS, seals) == 0; };
  // The first also fails, with EBUSY, while the kernel has a page in hand to move it. With no writable mapping left the
  // second forbids as much.
  if (!seal(kSizeSeals | F_SEAL_WRITE | F_SEAL_SEAL) && !seal(kSizeSeals | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)) {
    throw Error::format(ErrorCode::failure, "cannot seal a picture: {}", errno_text());
  }
  return std::move(fd_);
}

PictureView::PictureView(int fd, int width, int height) {
  const std::size_t size = size_of(width, height);
  // F_GET_SEALS fails on everything but a memfd (or tmpfs file), so it also says what kind of file this is.
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSizeSeals) != kSizeSeals || (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) == 0) {
    throw Error(ErrorCode::protocol, "a picture came without the seals SHRINK, GROW and WRITE");
  }
  struct stat info{};
  if (::fstat(fd, &info) != 0 || static_cast<std::size_t>(info.st_size) != size) {
    throw Error::format(ErrorCode::protocol, "a picture of {}x{} pixels must have {} bytes, not {}", width, height,
                        size, info.st_size);
  }
  region_ = map(fd, bi::read_only, size);
}

std::span<const std::byte> PictureView::pixels() const {
  return {static_cast<const std::byte*>(region_.get_address()), region_.get_size()};
}

}  // namespace step1x::ipc
