// What a command says. Standard output carries the result and nothing else; everything for people goes to standard
// error, one line each.
#pragma once

#include <chrono>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace step1x::cli {

// "step1x: <message>" on standard error, as one line: what is no text in it is written out (printable() of
// base/utf8.hpp), since it may come from a file's name or a picture.
void say_error(const std::string& message);
// Part of a line, as it is: a bar.
void draw(std::string_view text);
void say(const std::string& message);
// A record for programs, on standard error.
void say_json(const nlohmann::ordered_json& record);

// A result, as it is: names in it that come from outside are printable() by then. Throws Error(failure) when it cannot
// be written whole: a full disk must not look like success.
void print(std::string_view text);
void print(std::span<const std::byte> bytes);
// One record on standard output: a line, or with indent 2 for people too. Names that are no UTF-8 have a replacement
// character for each wrong byte. Throws as print().
void print_json(const nlohmann::ordered_json& record, int indent = -1);
// Adds a path to a record: as text, and where it is no UTF-8 exactly, under `name`_base64.
void add_path(nlohmann::ordered_json& record, const char* name, const std::string& path);
// The path of a result alone on its line: as it is for a program that reads it, printable() on a terminal.
void print_path(const std::string& path);
// {"error": {code, message, retryable}}.
nlohmann::ordered_json error_record(ErrorCode code, const std::string& message);
// On standard output. Does not throw: the exit code tells already.
void print_error_record(ErrorCode code, const std::string& message);

// Who reads what is said may stop reading without going away, and then a write waits. Where a signal ends the command
// by itself it ends that wait too. Where signals are read from a descriptor, one of these says what ends it: as soon as
// `signals` is readable, or `end` has come, nothing is waited for any more, and what nobody takes is left out. One at a
// time.
class Impatience {
 public:
  Impatience(int signals, std::optional<std::chrono::steady_clock::time_point> end);
  ~Impatience();
  Impatience(const Impatience&) = delete;
  Impatience& operator=(const Impatience&) = delete;
};
// The command is ending because it was told to: from here on nobody is waited for.
void hurry();

// A terminal that can move the cursor.
bool stderr_is_terminal();
int terminal_width();

}  // namespace step1x::cli
