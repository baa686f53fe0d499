// What messages about pictures are made of. Pure functions, any thread.
#pragma once

#include <string>
#include <string_view>

namespace step1x::image {

// Text from outside (a file's name, a decoder's message) made fit for one line on a terminal: its lines, without empty
// and repeated ones, with "; " between them, and "?" for each control character. Spaces stay as they are, which
// one_line() of base/process.hpp joins.
std::string printable_line(std::string_view text);

// Throws Error(bad_image) with both.
[[noreturn]] void cannot_read(const std::string& name, const std::string& why);

}  // namespace step1x::image
