#include "batch/shard.hpp"

#include <charconv>

#include "base/error.hpp"
#include "base/hash.hpp"

namespace step1x::batch {

Shard parse_shard(const std::string& text, std::string_view what) {
  constexpr int kMost = 1'000'000;
  Shard shard;
  const char* end = text.data() + text.size();
  const auto [slash, problem] = std::from_chars(text.data(), end, shard.index);
  const bool first = problem == std::errc{} && slash != end && *slash == '/';
  const auto [stop, second] =
      first ? std::from_chars(slash + 1, end, shard.count) : std::from_chars_result{end, problem};
  if (!first || second != std::errc{} || stop != end || shard.count < 1 || shard.count > kMost || shard.index < 1 ||
      shard.index > shard.count)
    throw Error::format(ErrorCode::usage, "{} {}: not a part like 2/5, from 1/5 to 5/5", what, text);
  return shard;
}

bool belongs(std::string_view key, const Shard& shard) {
  // FNV-1a's low bits alone are no good hash of short names: the high ones are mixed in.
  const std::uint64_t hash = fnv1a(key);
  return (hash ^ hash >> 32) % static_cast<std::uint64_t>(shard.count) == static_cast<std::uint64_t>(shard.index - 1);
}

}  // namespace step1x::batch
