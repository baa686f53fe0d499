// What somebody may have meant who typed a word that is none: the nearest of those that there are. Pure functions, any
// thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace step1x::config {

// Damerau's and Levenshtein's distance between two words (in its form of optimal string alignment): how many letters
// were left out, put in, replaced, or exchanged with their neighbour. '-' and '_' are one letter, and so are both
// cases.
std::size_t distance(std::string_view a, std::string_view b);

// The index of the nearest, the first of equals. nullopt: not one is as near as a third of the word's letters, so that
// none can be meant.
std::optional<std::size_t> nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace step1x::config
