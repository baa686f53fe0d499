#include <doctest/doctest.h>

#include "base/process.hpp"
#include "base/utf8.hpp"

using namespace step1x;

TEST_CASE("what a terminal would act on is written out, and other text is as it was") {
  CHECK(printable("make the sky red") == "make the sky red");
  CHECK(printable("größe 日本 \U0001F600 é") == "größe 日本 \U0001F600 é");
  CHECK(printable("\x1b]0;owned\x07") == "\\x1b]0;owned\\x07");
  CHECK(printable("a\nb\tc\x7f") == "a\\x0ab\\x09c\\x7f");
  // C1 as a character, and as a byte that is no UTF-8.
  CHECK(printable("\xc2\x9b"
                  "31m\x9b"
                  "31m") == "\\u009b31m\\x9b31m");
  CHECK(printable("a\u202e\u2066\u200fb\u061c") == "a\\u202e\\u2066\\u200fb\\u061c");
  CHECK(printable("a\u2028b\u2029") == "a\\u2028b\\u2029");
  CHECK(printable(std::string_view("a\0b", 3)) == "a\\x00b");
  CHECK(printable("\xff\xc3") == "\\xff\\xc3");
  // The first and the last of each range, and their neighbours.
  CHECK(printable("\u0080\u009f\u200e\u200f\u2028\u202e\u2066\u2069") ==
        "\\u0080\\u009f\\u200e\\u200f\\u2028\\u202e\\u2066\\u2069");
  CHECK(printable(" ~\u00a0\u200d\u2027\u202f\u2065\u206a") == " ~\u00a0\u200d\u2027\u202f\u2065\u206a");
}

TEST_CASE("JSON stays the JSON that it was, without what a terminal would act on") {
  CHECK(printable_json("{\"a\": \"\xc2\x9b\u202e\x7f\"}\n") == "{\"a\": \"\\u009b\\u202e\\u007f\"}\n");
  CHECK(printable_json("{\"a\": \"größe\"}") == "{\"a\": \"größe\"}");
}

TEST_CASE("one line of anything") {
  CHECK(one_line("a\nb\r\n\tc ") == "a b c");
  CHECK(one_line("\x1b[2Ja") == "[2Ja");
  CHECK(one_line("a\u202eb\xff") == "a\\u202eb\\xff");
}
