// Looks through the words of a command line before they are parsed, as the parser itself will read them, for the first
// that means nothing. The parser would tell the last of them, and not what may have been meant.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "commands.hpp"

namespace step1x::cli {

struct Words {
  std::string command;                 // whose they are, for "step1x edit --help": "step1x edit"
  std::vector<std::string> parsed;     // as the parser is to have them
  bool json = false;                   // --json is among them
  std::optional<std::string> problem;  // what is wrong with the first that is wrong, and what may have been meant
};

// `words`: as they were typed, without the program's own name. Where help is asked for nothing is wrong. Looks for
// files of the names that begin with a dash.
Words look_through(const CLI::App& app, const std::vector<std::string>& words);

// With "See: step1x edit --help" behind it, as every wrong command line is told.
std::string with_help(const std::string& problem, const std::string& command);

}  // namespace step1x::cli
