// For messages about pictures. one_line(): text that came from outside (a file name, a decoder's message) made fit for
// one line on a terminal: line breaks become "; ", control characters "?", repeated lines go.
#pragma once

#include <string>
#include <string_view>

namespace step1x::image {

std::string one_line(std::string_view text);

// Throws Error(bad_image) with both.
[[noreturn]] void cannot_read(const std::string& name, const std::string& why);

}  // namespace step1x::image
