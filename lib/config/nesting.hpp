// A look at TOML text before the parser sees it: toml++ descends by recursion, so the text must not choose how deep.
// Thread-safe.
#pragma once

#include <optional>
#include <string_view>

namespace step1x::config {

inline constexpr int kMaxNesting = 64;

// The line (from 1) where more than kMaxNesting brackets are open, or more than that many dots stand in the keys of one
// line or bracket; nullopt: nowhere. Strings and comments do not count.
std::optional<int> line_nested_too_deep(std::string_view text);

}  // namespace step1x::config
