#include <doctest/doctest.h>

#include <stdexcept>

#include "base/error.hpp"
#include "ipc/gpu_lock.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;
using namespace step1x::ipc;

namespace {

constexpr std::chrono::minutes kLong{10};
constexpr std::chrono::milliseconds kShort{300};

}  // namespace

TEST_CASE("who comes second waits until the first has gone; another GPU is free") {
  const test::TempDir dir;
  const Directory::Options where{dir.path() / "state"};
  auto first = lock_gpu("GPU-a", kLong, [] { FAIL("nobody has it"); }, where);
  REQUIRE(first);
  CHECK(lock_gpu("GPU-b", kLong, [] { FAIL("nobody has it"); }, where));
  int turns = 0;
  CHECK(lock_gpu(
      "GPU-a", kLong,
      [&] {
        if (++turns == 3) first.reset();
      },
      where));
  CHECK(turns == 3);
}

TEST_CASE("waiting ends with the patience, or with the job that waits") {
  const test::TempDir dir;
  const Directory::Options where{dir.path() / "state"};
  const auto first = lock_gpu("GPU-a", kLong, [] {}, where);
  int turns = 0;
  CHECK(!lock_gpu("GPU-a", kShort, [&] { ++turns; }, where));
  CHECK(turns > 0);
  CHECK_THROWS_AS(lock_gpu("GPU-a", kLong, [] { throw Error(ErrorCode::cancelled, "cancelled"); }, where), Error);
}

TEST_CASE("where no lock can be made, there is none and the job goes on") {
  const test::TempDir dir;
  CHECK(!lock_gpu("GPU-a", kLong, [] { FAIL("waited"); }, {dir.write("a file", "x") / "state"}));
}
