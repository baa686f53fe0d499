// Times as journals have them. Pure but for the clock.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace step1x::batch {

// UTC, as ISO 8601 has it, with milliseconds: "2026-11-29T08:15:30.250Z". Such texts are compared as texts, also with
// those of older journals, which have no part of a second.
std::string time_text(std::int64_t nanoseconds_since_1970);
std::string time_now();
bool is_earlier(std::string_view time, std::string_view other);

}  // namespace step1x::batch
