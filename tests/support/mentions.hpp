// Whether a message has a part, with the whole message beside the check that fails.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace step1x::test {

inline bool mentions(const std::string& message, std::string_view part) {
  CAPTURE(message);
  return message.find(part) != std::string::npos;
}

}  // namespace step1x::test
