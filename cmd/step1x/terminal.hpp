// What a command says. Standard output carries the result and nothing else; everything for people goes to standard
// error, one line each.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace step1x::cli {

// "step1x: <message>" on standard error.
void say_error(const std::string& message);
void say(const std::string& message);

// A result. Throws Error(failure) when it cannot be written whole: a full disk must not look like success.
void print(std::string_view text);
void print(std::span<const std::byte> bytes);
// {"error": {code, message, retryable}}. Does not throw: the exit code tells already.
void print_error_record(ErrorCode code, const std::string& message);

// A terminal that can move the cursor.
bool stderr_is_terminal();
int terminal_width();

}  // namespace step1x::cli
