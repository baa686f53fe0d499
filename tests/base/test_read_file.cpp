#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/read_file.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;

TEST_CASE("a file is read whole, and no further than is allowed") {
  const test::TempDir dir;
  const std::string long_text(300'000, 'x');
  const auto file = dir.write("a", long_text);
  CHECK(read_regular_file(file, 300'000, ErrorCode::usage) == long_text);
  CHECK_THROWS_WITH_AS(read_regular_file(file, 299'999, ErrorCode::usage),
                       doctest::Contains("longer than 299999 bytes"), Error);
  CHECK(read_regular_file(dir.write("empty", ""), 0, ErrorCode::usage).empty());
}

TEST_CASE("what is no regular file is refused at once, and with the code that was asked for") {
  const test::TempDir dir;
  const auto pipe = dir.path() / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  for (const auto& [path, why] : {std::pair{pipe, "it is not a regular file"},
                                  {dir.path(), "it is a directory"},
                                  {std::filesystem::path("/dev/zero"), "it is not a regular file"},
                                  {dir.path() / "none", "No such file or directory"}}) {
    CAPTURE(path);
    try {
      open_regular_file(path, ErrorCode::model_missing);
      FAIL("it was opened");
    } catch (const Error& problem) {
      CHECK(problem.code() == ErrorCode::model_missing);
      CHECK(problem.what() == "cannot read " + path.string() + ": " + why);
    }
  }
}

TEST_CASE("a device without an end is read to the limit") {
  const UniqueFd zeros(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  CHECK_THROWS_WITH_AS(read_to_end(zeros.get(), "it", 100'000, ErrorCode::usage),
                       doctest::Contains("cannot read it: it is longer than 100000 bytes"), Error);
}
