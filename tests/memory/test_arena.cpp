#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/error.hpp"
#include "memory/arena.hpp"

using namespace step1x;

namespace {

constexpr std::uint64_t kBytes = 3 * kHugePage + 4096;

ArenaMapping read_only(int fd) {
  return {fd, kBytes, ArenaMapping::Access::read};
}

std::uint64_t resident(int fd) {
  struct stat info{};
  REQUIRE(::fstat(fd, &info) == 0);
  return static_cast<std::uint64_t>(info.st_blocks) * 512;
}

}  // namespace

TEST_CASE("what one mapping fills another one reads, also when the first is gone") {
  const UniqueFd fd = create_arena(kBytes);
  {
    ArenaMapping filling(fd.get(), kBytes, ArenaMapping::Access::fill);
    std::ranges::fill(filling.writable(), std::byte{7});
    seal_arena(fd.get());
    // Mappings that are there stay writable: a filler may seal before it lets go.
    filling.writable()[0] = std::byte{8};
  }
  const ArenaMapping reading = read_only(fd.get());
  CHECK(reading.bytes().size() == kBytes);
  CHECK(reading.bytes().front() == std::byte{8});
  CHECK(reading.bytes().back() == std::byte{7});
}

TEST_CASE("an arena takes no memory before it is filled") {
  const UniqueFd fd = create_arena(std::uint64_t{1} << 40);
  CHECK(resident(fd.get()) == 0);
}

TEST_CASE("a sealed arena can be neither written to nor changed in size") {
  const UniqueFd fd = create_arena(kBytes);
  CHECK(::ftruncate(fd.get(), 4096) != 0);
  CHECK(::ftruncate(fd.get(), 2 * kBytes) != 0);
  seal_arena(fd.get());
  CHECK(::write(fd.get(), "x", 1) == -1);
  CHECK(::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0) == MAP_FAILED);
  CHECK_THROWS_AS(ArenaMapping(fd.get(), kBytes, ArenaMapping::Access::fill), Error);
}

TEST_CASE("a descriptor that is no arena, or not this one, is not mapped") {
  const UniqueFd open = create_arena(kBytes);
  CHECK_THROWS_WITH_AS(read_only(open.get()), doctest::Contains("can still be written"), Error);
  seal_arena(open.get());
  CHECK_THROWS_WITH_AS(ArenaMapping(open.get(), kBytes + 1, ArenaMapping::Access::read),
                       doctest::Contains(std::to_string(kBytes).c_str()), Error);
  const UniqueFd unsealed(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(::ftruncate(unsealed.get(), kBytes) == 0);
  CHECK_THROWS_WITH_AS(read_only(unsealed.get()), doctest::Contains("seals SHRINK and GROW"), Error);
  const UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  CHECK_THROWS_AS(read_only(file.get()), Error);
}

TEST_CASE("every mapping begins where a huge page can") {
  std::vector<std::unique_ptr<const ArenaMapping>> mappings;
  const UniqueFd fd = create_arena(kBytes);
  for (int i = 0; i < 8; ++i) {
    mappings.push_back(std::make_unique<const ArenaMapping>(fd.get(), kBytes, ArenaMapping::Access::fill));
    CHECK(reinterpret_cast<std::uintptr_t>(mappings.back()->bytes().data()) % kHugePage == 0);
  }
}

TEST_CASE("preparing touches whole huge pages only, and leaves what is filled alone") {
  const UniqueFd fd = create_arena(kBytes);
  ArenaMapping filling(fd.get(), kBytes, ArenaMapping::Access::fill);
  filling.writable()[kHugePage - 1] = std::byte{1};
  filling.writable()[3 * kHugePage] = std::byte{2};
  const std::uint64_t huge = filling.prepare(1, kBytes);
  CHECK((huge == 0 || huge == 2 * kHugePage));
  CHECK(filling.bytes()[kHugePage - 1] == std::byte{1});
  CHECK(filling.bytes()[3 * kHugePage] == std::byte{2});
  if (huge > 0) CHECK(resident(fd.get()) >= huge);
}
