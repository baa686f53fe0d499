// Well-formed UTF-8 as Unicode defines it (table 3-7): no overlong forms, no surrogates, nothing above U+10FFFF. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace step1x {

// The first byte that does not start a well-formed sequence, or nothing when the whole text is well-formed.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

// Some editors begin a file with one; it is no part of the text.
std::string_view without_byte_order_mark(std::string_view text);

}  // namespace step1x
