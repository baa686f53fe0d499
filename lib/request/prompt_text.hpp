// A prompt as a text file has it. Any thread.
#pragma once

#include <string>
#include <string_view>

namespace step1x::request {

// Without the line ends at its end and an editor's byte order mark at its beginning; of a longer file than a prompt may
// be no more is read than shows that. Throws Error(usage) that begins with `where` for what no prompt can be, and where
// it cannot be read.
std::string read_prompt_text(int fd, std::string_view where);

}  // namespace step1x::request
