#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "base/error.hpp"
#include "memory/arena.hpp"
#include "worker/host_arena.hpp"

using namespace step1x;
using namespace step1x::worker;

namespace {

constexpr std::uint64_t kBytes = 8 << 20;

struct Fixture {
  std::uint64_t available = std::uint64_t{4} << 30;
  std::atomic<int> freed = 0;
  HostArena arena{{[this] { return available; }, [this] { ++freed; }}};

  // Of the one engine that most tests have.
  HostArena::Grant want(const std::string& key, std::uint64_t bytes) { return *arena.want(this, key, bytes); }
  // What an engine does.
  void fill(const HostArena::Grant& grant) {
    ArenaMapping mapping(grant.fd, kBytes, ArenaMapping::Access::fill);
    std::ranges::fill(mapping.writable(), std::byte{1});
    seal_arena(grant.fd);
    arena.filled(0);
  }
};

}  // namespace

TEST_CASE("the first to ask fills, all later ones read") {
  Fixture f;
  CHECK(f.arena.status().is_null());
  const HostArena::Grant first = f.want("a", kBytes);
  REQUIRE(first.fd >= 0);
  CHECK(!first.filled);
  CHECK(!f.arena.holds_model());
  f.fill(first);
  CHECK(f.arena.holds_model());
  f.arena.filler_ended(&f);  // of a job that ended well
  const HostArena::Grant second = f.want("a", kBytes);
  CHECK(second.fd == first.fd);
  CHECK(second.filled);
  CHECK(f.arena.status()["resident_bytes"] == kBytes);
}

TEST_CASE("what a filler leaves unfinished is gone, and the next one begins with an empty arena") {
  Fixture f;
  const HostArena::Grant first = f.want("a", kBytes);
  ArenaMapping(first.fd, kBytes, ArenaMapping::Access::fill).writable()[5] = std::byte{1};
  f.arena.filler_ended(&f);
  CHECK(f.arena.status().is_null());
  const HostArena::Grant next = f.want("a", kBytes);
  CHECK(!next.filled);
  CHECK(f.arena.status()["resident_bytes"] == 0);
}

TEST_CASE("another model takes the place of the first, whose memory comes back") {
  Fixture f;
  f.fill(f.want("a", kBytes));
  const HostArena::Grant other = f.want("b", kBytes);
  CHECK(!other.filled);
  CHECK(f.arena.status()["key"] == "b");
  f.arena.drop_and_wait();
  CHECK(f.freed == 2);
  CHECK(!f.arena.freeing());
  CHECK(!f.want("a", kBytes).filled);
}

TEST_CASE("no arena is made that would leave others too little, and it says why") {
  Fixture f;
  f.available = kBytes + (std::uint64_t{512} << 20) - 1;
  CHECK(f.want("a", kBytes).fd == -1);
  CHECK(f.arena.refusal().find("8.0 MiB") != std::string::npos);
  CHECK(f.arena.status().is_null());
  ++f.available;
  CHECK(f.want("a", kBytes).fd >= 0);
  CHECK(f.arena.refusal().empty());
}

TEST_CASE("a job may say what the arena may take, also where RAM that grows with its use seems to be missing") {
  Fixture f;
  f.available = 1 << 20;
  const auto fits = [&](std::int64_t most) {
    const bool made = f.arena.want(&f, "a", kBytes, most)->fd >= 0;
    CHECK(f.arena.refusal().empty() == made);
    f.arena.drop_and_wait();
    return made;
  };
  CHECK(fits(kBytes));
  CHECK(!fits(kBytes - 1));
  f.available = kBytes + 4096;
  CHECK(fits(-4096));
  CHECK(!fits(-4097));
  CHECK(!fits(std::numeric_limits<std::int64_t>::min() / 2));
  f.arena.want(&f, "a", kBytes, kBytes - 1);
  CHECK(f.arena.refusal() == "the model takes 8.0 MiB of RAM and 8.0 MiB are allowed (--max-ram)");
}

TEST_CASE("an engine is not believed that it filled an arena that it did not seal, or that nobody gave it") {
  Fixture f;
  CHECK_THROWS_AS(f.arena.filled(0), Error);
  f.want("a", kBytes);
  CHECK_THROWS_WITH_AS(f.arena.filled(0), doctest::Contains("did not seal"), Error);
  CHECK(!f.arena.holds_model());
}

TEST_CASE("a second engine waits for the first to fill it, and fills it where that one gives up") {
  Fixture f;
  const int first = 1;
  const int second = 2;
  REQUIRE(f.arena.want(&first, "a", kBytes)->fd >= 0);
  CHECK(!f.arena.want(&second, "a", kBytes));
  f.arena.filler_ended(&second);  // of something else
  CHECK(!f.arena.want(&second, "a", kBytes));
  f.arena.filler_ended(&first);
  const auto grant = f.arena.want(&second, "a", kBytes);
  REQUIRE(grant);
  CHECK(!grant->filled);
  CHECK(!f.arena.want(&first, "a", kBytes));
  f.fill(*grant);
  CHECK(f.arena.want(&first, "a", kBytes)->filled);
  CHECK(f.arena.want(&second, "a", kBytes)->filled);
  CHECK(!f.arena.is_another("a"));
  CHECK(f.arena.is_another("b"));
}
