#include <doctest/doctest.h>

#include "base/duration.hpp"
#include "base/error.hpp"

using namespace step1x;
using namespace std::chrono_literals;

TEST_CASE("durations as users write them") {
  CHECK(parse_duration("90", "--keep") == 90s);
  CHECK(parse_duration("90s", "--keep") == 90s);
  CHECK(parse_duration("10m", "--keep") == 10min);
  CHECK(parse_duration("1.5h", "--keep") == 90min);
  CHECK(parse_duration("250ms", "--keep") == 250ms);
  CHECK(parse_duration("0", "--keep") == 0s);
}

TEST_CASE("every negative duration means never") {
  CHECK(parse_duration("-1", "--keep") == kNever);
  CHECK(parse_duration("-5m", "--keep") == kNever);
  CHECK(format_duration(kNever) == "never");
}

TEST_CASE("what is no duration is refused with the flag and the text") {
  for (const char* text : {"", "m", "10x", "1h30m", "nan", "inf", "1e300", " 5", "5 s"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_duration(text, "--keep"), Error);
  }
  CHECK_THROWS_WITH_AS(parse_duration("10x", "--keep"), doctest::Contains("--keep: '10x' is not a duration"), Error);
}

TEST_CASE("durations are printed in the units they are read in") {
  CHECK(format_duration(90min) == "1h 30m");
  CHECK(format_duration(45s) == "45s");
  CHECK(format_duration(250ms) == "250ms");
  CHECK(format_duration(1500ms) == "1.5s");
  CHECK(format_duration(59999ms) == "59.999s");
  CHECK(format_duration(60500ms) == "1m 0.5s");
  CHECK(format_duration(2h) == "2h");
  CHECK(format_duration(0ms) == "0s");
}
