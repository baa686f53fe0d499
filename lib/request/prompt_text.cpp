#include "request/prompt_text.hpp"

#include "base/read_file.hpp"
#include "base/utf8.hpp"
#include "request/parameters.hpp"

namespace step1x::request {

std::string read_prompt_text(int fd, std::string_view where) {
  const Parameter& prompt = parameter("prompt");
  constexpr std::size_t kSlack = 8;  // for the mark and the line ends
  std::string text = read_to_end(fd, std::string(where), prompt.most_bytes + kSlack, ErrorCode::usage);
  text = without_byte_order_mark(text);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  to_sent(prompt, text, where);
  return text;
}

}  // namespace step1x::request
