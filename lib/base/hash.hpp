// FNV-1a (Fowler, Noll, Vo; http://www.isthe.com/chongo/tech/comp/fnv/), 64 bits: tells things apart that nobody
// forges. Pure function.
#pragma once

#include <cstdint>
#include <string_view>

namespace step1x {

// `before`: the hash of what comes before `text`.
constexpr std::uint64_t fnv1a(std::string_view text, std::uint64_t before = 0xcbf29ce484222325) {
  for (const char c : text) before = (before ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return before;
}

}  // namespace step1x
