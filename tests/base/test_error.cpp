#include <doctest/doctest.h>

#include "base/error.hpp"

using namespace step1x;

TEST_CASE("every error code keeps its name, which travels between builds") {
  for (int i = 0; i <= static_cast<int>(ErrorCode::protocol); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    CHECK(error_code(name(code)) == code);
  }
  CHECK(!error_code("no such code"));
}

TEST_CASE("exit codes are those of the man page") {
  CHECK(static_cast<int>(exit_code(ErrorCode::usage)) == 2);
  CHECK(static_cast<int>(exit_code(ErrorCode::model_missing)) == 4);
  CHECK(static_cast<int>(exit_code(ErrorCode::out_of_memory)) == 5);
  CHECK(static_cast<int>(exit_code(ErrorCode::bad_image)) == 6);
  CHECK(static_cast<int>(exit_code(ErrorCode::bad_prompt)) == 2);
  CHECK(static_cast<int>(exit_code(ErrorCode::timeout)) == 75);
  CHECK(static_cast<int>(exit_code(ErrorCode::cancelled)) == 130);
}
