#include <doctest/doctest.h>

#include "base/error.hpp"
#include "ipc/fields.hpp"

using namespace step1x;
using namespace step1x::ipc;

TEST_CASE("an integer is an integer in its range and nothing that could be converted to one") {
  const Json body = Json::parse(
      R"({"ok": 28, "float": 28.0, "huge": 1e300, "big": 18446744073709551615, "text": "28", "null": null, "low": -1})");
  const Fields fields(body);
  CHECK(fields.integer("ok", 1, 1000) == 28);
  for (const char* key : {"float", "huge", "big", "text", "null", "low", "missing"}) {
    CAPTURE(key);
    CHECK_THROWS_AS(fields.integer(key, 1, 1000), Error);
  }
  CHECK(fields.integer_or("missing", 1, 1000, 5) == 5);
  CHECK(fields.integer_or("null", 1, 1000, 5) == 5);
  CHECK_THROWS_AS(fields.integer_or("text", 1, 1000, 5), Error);
}

TEST_CASE("the error names the member, its value and what is allowed") {
  const Json body = {{"steps", 5000}};
  CHECK_THROWS_WITH_AS(Fields(body).integer("steps", 1, 1000), "steps: 5000 is not an integer from 1 to 1000", Error);
  const Json lengthy = {{"steps", std::string(5000, 'x')}};
  try {
    Fields(lengthy).integer("steps", 1, 1000);
    FAIL("accepted");
  } catch (const Error& problem) {
    CHECK(std::string(problem.what()).size() < 200);
  }
}

TEST_CASE("numbers, texts and booleans are of their type") {
  const Json body = {{"n", 6.5}, {"i", 6}, {"t", "text"}, {"b", true}};
  const Fields fields(body);
  CHECK(fields.number("n", 0, 100) == 6.5);
  CHECK(fields.number("i", 0, 100) == 6.0);
  CHECK_THROWS_AS(fields.number("t", 0, 100), Error);
  CHECK(fields.text("t") == "text");
  CHECK_THROWS_AS(fields.text("t", std::size_t{3}), Error);
  CHECK_THROWS_AS(fields.text("n"), Error);
  CHECK(fields.text("missing", "fallback") == "fallback");
  CHECK(fields.boolean("b", false));
  CHECK_THROWS_AS(fields.boolean("t", false), Error);
}
