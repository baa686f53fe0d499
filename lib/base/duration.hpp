// Durations as users write them: "90s", "10m", "1h", "1.5h", "250ms", or a bare number of seconds. 0 means at once and
// any negative value means never (one value stands for all of them: kNever).
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace step1x {

using Duration = std::chrono::milliseconds;
inline constexpr Duration kNever{-1};
// Ten years: any longer is a slip of the hand, and this is far from overflowing a count of nanoseconds.
inline constexpr Duration kLongestDuration = std::chrono::hours(87'660);

// Throws Error(usage) that names `what` (a flag or key) and the text.
Duration parse_duration(std::string_view text, std::string_view what);
// "1h 30m", "45s", "1.5s", "250ms", "never".
std::string format_duration(Duration duration);
// Seconds, as JSON and scripts have them; -1 for never.
double in_seconds(Duration duration);

}  // namespace step1x
