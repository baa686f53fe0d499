#include <doctest/doctest.h>

#include "base/error.hpp"
#include "base/size.hpp"

using namespace step1x;

TEST_CASE("sizes are read in every spelling that people use") {
  CHECK(parse_size("0", "x") == 0);
  CHECK(parse_size("1536", "x") == 1536);
  CHECK(parse_size("1k", "x") == 1024);
  CHECK(parse_size("512M", "x") == 512ULL << 20);
  CHECK(parse_size("24G", "x") == 24ULL << 30);
  CHECK(parse_size("24GB", "x") == 24ULL << 30);
  CHECK(parse_size("1.5gib", "x") == 1536ULL << 20);
  CHECK(parse_size("2t", "x") == 2ULL << 40);
}

TEST_CASE("a size may have a sign where that has a meaning") {
  CHECK(parse_signed_size("2G", "x") == 2LL << 30);
  CHECK(parse_signed_size("-2G", "x") == -(2LL << 30));
  CHECK(parse_signed_size("0", "x") == 0);
  for (const char* text : {"--2G", "-", "- 2G", "+2G"}) CHECK_THROWS_AS(parse_signed_size(text, "x"), Error);
}

TEST_CASE("what is no size is refused with the flag and the text") {
  for (const char* text : {"", "G", "-1", "-1G", "1x", "1Gb/s", "1 G", "nan", "inf", "1e300", "2000T"}) {
    CAPTURE(text);
    CHECK_THROWS_WITH_AS(parse_size(text, "--max-vram"), doctest::Contains("--max-vram: '"), Error);
  }
}

TEST_CASE("sizes are written with one digit and the unit that fits") {
  CHECK(format_size(800) == "800 B");
  CHECK(format_size(1536) == "1.5 KiB");
  CHECK(format_size(42ULL << 30) == "42.0 GiB");
  CHECK(format_size(3ULL << 50) == "3072.0 TiB");
}
