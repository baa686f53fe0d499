#include "image/messages.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace step1x::image {

std::string printable_line(std::string_view text) {
  std::string line;
  std::string last;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string part(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    for (char& c : part) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    }
    if (part.empty() || part == last) continue;
    if (!line.empty()) line += "; ";
    line += part;
    last = std::move(part);
  }
  return line;
}

void cannot_read(const std::string& name, const std::string& why) {
  throw Error::format(ErrorCode::bad_image, "cannot read {}: {}", printable_line(name), why);
}

}  // namespace step1x::image
