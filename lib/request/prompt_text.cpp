#include "request/prompt_text.hpp"

#include "base/error.hpp"
#include "base/utf8.hpp"
#include "request/parameters.hpp"

namespace step1x::request {

std::string read_prompt_text(std::istream& in, std::string_view where) {
  const Parameter& prompt = parameter("prompt");
  constexpr std::size_t kSlack = 8;  // for the mark and the line ends
  std::string text(prompt.most_bytes + kSlack, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  // A folder can be opened.
  if (in.bad()) throw Error::format(ErrorCode::usage, "{}: cannot be read: {}", where, errno_text());
  if (!in.eof()) throw Error::format(ErrorCode::usage, "{}: over {} bytes long", where, prompt.most_bytes);
  text.resize(static_cast<std::size_t>(in.gcount()));
  text = without_byte_order_mark(text);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  to_sent(prompt, text, where);
  return text;
}

}  // namespace step1x::request
