#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "base/fd.hpp"
#include "base/log.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;

TEST_CASE("of a long line the beginning is kept, and that there was more") {
  const test::TempDir dir;
  const auto file = dir.write("log", "");
  const UniqueFd before(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
  const UniqueFd there(::open(file.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  REQUIRE(::dup2(there.get(), STDERR_FILENO) == STDERR_FILENO);
  log::start(false, 1 << 20, [] {});
  log::info("short {}", std::string(1900, 'a'));
  log::info("long {}", std::string(100'000, 'b'));
  REQUIRE(::dup2(before.get(), STDERR_FILENO) == STDERR_FILENO);
  const std::string text = test::read_file(file);
  CHECK(text.find("short " + std::string(1900, 'a') + "\n") != std::string::npos);
  CHECK(text.size() < 5000);
  CHECK(text.ends_with("b ...\n"));
}
