#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.hpp"
#include "ipc/picture.hpp"

using namespace step1x;
using namespace step1x::ipc;

namespace {

UniqueFd memfd(std::size_t size, int seals) {
  UniqueFd fd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
  if (seals != 0) REQUIRE(::fcntl(fd.get(), F_ADD_SEALS, seals) == 0);
  return fd;
}

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

}  // namespace

TEST_CASE("a picture travels: what was written is what is seen") {
  PictureWriter writer(5, 7);
  REQUIRE(writer.pixels().size() == 5 * 7 * 3);
  std::fill(writer.pixels().begin(), writer.pixels().end(), std::byte{42});
  const UniqueFd fd = writer.seal();
  const PictureView view(fd.get(), 5, 7);
  CHECK(std::all_of(view.pixels().begin(), view.pixels().end(), [](std::byte b) { return b == std::byte{42}; }));
}

TEST_CASE("a sealed picture cannot be changed by who made it") {
  PictureWriter writer(4, 4);
  const UniqueFd fd = writer.seal();
  CHECK(::ftruncate(fd.get(), 1) != 0);
  CHECK(::write(fd.get(), "x", 1) < 0);
}

TEST_CASE("what could be shrunk, grown or written under its reader is not mapped") {
  for (const int seals : {0, F_SEAL_SHRINK, F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_GROW | F_SEAL_WRITE, F_SEAL_WRITE}) {
    CAPTURE(seals);
    const UniqueFd fd = memfd(48, seals);
    CHECK_THROWS_AS(PictureView(fd.get(), 4, 4), Error);
  }
  CHECK_NOTHROW(PictureView(memfd(48, kSeals).get(), 4, 4));
  CHECK_NOTHROW(PictureView(memfd(48, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE).get(), 4, 4));
}

TEST_CASE("the size is that of the pixels, to the byte") {
  CHECK_THROWS_AS(PictureView(memfd(47, kSeals).get(), 4, 4), Error);
  CHECK_THROWS_AS(PictureView(memfd(49, kSeals).get(), 4, 4), Error);
  CHECK_THROWS_AS(PictureView(memfd(0, kSeals).get(), 4, 4), Error);
}

TEST_CASE("no file, pipe or directory is taken for a picture") {
  for (const char* path : {"/dev/null", "/proc/self/exe", "/"}) {
    CAPTURE(path);
    const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
    REQUIRE(fd);
    CHECK_THROWS_AS(PictureView(fd.get(), 4, 4), Error);
  }
}

TEST_CASE("sides and pixels over the limits are refused before any memory is taken") {
  CHECK_THROWS_AS(PictureWriter(0, 4), Error);
  CHECK_THROWS_AS(PictureWriter(kMaxSide + 1, 1), Error);
  CHECK_THROWS_AS(PictureWriter(kMaxSide, kMaxSide), Error);
  CHECK_THROWS_AS(PictureWriter(-1, -1), Error);
}
