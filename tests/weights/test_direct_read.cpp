#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "support/temp_dir.hpp"
#include "weights/direct_read.hpp"

using namespace step1x;

namespace {

constexpr std::size_t kSize = 3 * DirectReader::Buffer::kBytes + 1234;

struct File {
  File() {
    std::string bytes(kSize, '\0');
    std::uint32_t state = 1;
    for (char& byte : bytes) byte = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
    content = std::move(bytes);
    path = dir.write("file", content);
    fd.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(fd);
  }
  void drop_from_cache() const {
    REQUIRE(::fsync(fd.get()) == 0);
    REQUIRE(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED) == 0);
  }
  std::size_t cached_pages() const {
    void* start = ::mmap(nullptr, kSize, PROT_READ, MAP_SHARED, fd.get(), 0);
    REQUIRE(start != MAP_FAILED);
    std::vector<unsigned char> pages(kSize / 4096 + 1);
    REQUIRE(::mincore(start, kSize, pages.data()) == 0);
    ::munmap(start, kSize);
    return static_cast<std::size_t>(std::ranges::count_if(pages, [](unsigned char page) { return (page & 1) != 0; }));
  }
  bool same(const DirectReader& reader, std::uint64_t offset, std::size_t bytes) const {
    DirectReader::Buffer buffer;
    std::vector<std::byte> out(bytes);
    reader.read(offset, out, buffer, path, "a part");
    return std::ranges::equal(out, std::as_bytes(std::span(content)).subspan(offset, bytes));
  }

  test::TempDir dir;
  std::string content;
  std::filesystem::path path;
  UniqueFd fd;
};

}  // namespace

TEST_CASE("any part of a file, at any offset, in the page cache or not") {
  const File file;
  const DirectReader reader(file.fd.get());
  if (!reader.possible()) MESSAGE("no O_DIRECT here: only the ordinary way is tested");
  for (const std::uint64_t offset : {0UL, 1UL, 4095UL, 4096UL, 4097UL, 2'000'000UL}) {
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{8191},
                                    std::size_t{2'500'000}, kSize - offset}) {
      CAPTURE(offset);
      CAPTURE(bytes);
      file.drop_from_cache();
      CHECK(file.same(reader, offset, bytes));
      CHECK(file.same(reader, offset, bytes));
    }
  }
}

TEST_CASE("what was not in the page cache is not there afterwards") {
  const File file;
  const DirectReader reader(file.fd.get());
  file.drop_from_cache();
  if (!reader.possible() || file.cached_pages() > 0) {
    MESSAGE("no O_DIRECT here, or a page cache that is not emptied on request");
    return;
  }
  CHECK(file.same(reader, 0, kSize));
  // Not one: the question whether it is there fetches nothing of a file that is one's own.
  CHECK(file.cached_pages() == 0);
}

TEST_CASE("a file that was cut is told as in ordinary reading") {
  const File file;
  const DirectReader reader(file.fd.get());
  REQUIRE(::truncate(file.path.c_str(), 10'000) == 0);
  file.drop_from_cache();
  DirectReader::Buffer buffer;
  std::vector<std::byte> out(5000);
  CHECK_THROWS_WITH_AS(reader.read(8000, out, buffer, file.path, "a part"), doctest::Contains("ends at byte 10000"),
                       Error);
}
