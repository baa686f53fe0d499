// Sizes of memory as users write them: "512m", "24G", "1.5GiB", or a bare number of bytes. Units are powers of 1024, in
// either case, with or without "B" or "iB".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace step1x {

// Throws Error(usage) that names `what` (a flag or key) and the text.
std::uint64_t parse_size(std::string_view text, std::string_view what);
// The same, perhaps with a minus sign before it.
std::int64_t parse_signed_size(std::string_view text, std::string_view what);
// "42.0 GiB", "1.5 MiB", "800 B".
std::string format_size(std::uint64_t bytes);

}  // namespace step1x
