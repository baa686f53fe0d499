// The variables STEP1X_* that there are, for telling somebody that theirs is none: what is misspelt would be passed
// over without a word, and the setting would hold its default. Pure functions, any thread.
#pragma once

#include <string>
#include <vector>

namespace step1x::config {

struct UnknownVariable {
  std::string name;
  std::string near;  // the one that may be meant; empty: none is near
};

// Of an environment ("NAME=value"), those that begin like ours and are none, in its order.
std::vector<UnknownVariable> unknown_variables(const std::vector<std::string>& environment);

}  // namespace step1x::config
