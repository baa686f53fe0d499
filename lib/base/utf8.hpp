// Well-formed UTF-8 as Unicode defines it (table 3-7): no overlong forms, no surrogates, nothing above U+10FFFF. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace step1x {

// The first byte that does not start a well-formed sequence, or nothing when the whole text is well-formed.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

// Some editors begin a file with one; it is no part of the text.
std::string_view without_byte_order_mark(std::string_view text);

// The letters of ASCII as small ones; all else as it is.
std::string lower_ascii(std::string text);

// Text from outside made fit for a terminal, and for one line of a report. What would move the cursor, end the line or
// turn the writing round is written out: "\x1b" for a control character (C0, DEL) and for a byte that is no UTF-8,
// "\u202e" for one of C1, a separator of lines or paragraphs, and a control of writing direction.
std::string printable(std::string_view text);
// The same for JSON, in which all of these stand in strings and a line end between members is meant: the text means
// what it meant. `json` is valid JSON in UTF-8.
std::string printable_json(std::string_view json);

}  // namespace step1x
