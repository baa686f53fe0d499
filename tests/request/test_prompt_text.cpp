#include "request/prompt_text.hpp"

#include <doctest/doctest.h>

#include "base/error.hpp"
#include "base/read_file.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;
using namespace step1x::request;

namespace {

std::string read(const std::string& text) {
  const test::TempDir dir;
  const UniqueFd file = open_regular_file(dir.write("prompt.txt", text), ErrorCode::usage);
  return read_prompt_text(file.get(), "prompt.txt");
}

}  // namespace

TEST_CASE("a file's prompt is its text without what editors put around it") {
  CHECK(read("make it red") == "make it red");
  CHECK(read("\xef\xbb\xbfmake it red\r\n\n") == "make it red");
  CHECK(read("  two\nlines \n") == "  two\nlines ");
  CHECK(read("").empty());
  const std::string longest(65'536, 'x');
  CHECK(read("\xef\xbb\xbf" + longest + "\r\n") == longest);
}

TEST_CASE("what no prompt can be is told of the file") {
  CHECK_THROWS_WITH_AS(read(std::string(65'537, 'x')), doctest::Contains("prompt.txt: 65537 bytes long"), Error);
  CHECK_THROWS_WITH_AS(read(std::string(100'000, 'x')), doctest::Contains("cannot read prompt.txt: it is longer than"),
                       Error);
  CHECK_THROWS_WITH_AS(read("gr\xfcn"), "prompt.txt: not valid UTF-8", Error);
  CHECK_THROWS_WITH_AS(read(std::string("a\0b", 3)), "prompt.txt: a zero byte is in it", Error);
}
