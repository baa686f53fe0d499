#include "text/quotes.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace step1x {

namespace {

constexpr std::string_view kOpen = "\u201C";
constexpr std::string_view kClose = "\u201D";

// Takes the first character off `text`, which is well-formed.
std::string_view take_character(std::string_view& text) {
  std::size_t length = 1;
  while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) ++length;
  const std::string_view character = text.substr(0, length);
  text.remove_prefix(length);
  return character;
}

}  // namespace

std::vector<QuotePiece> cut_wrapped(std::string_view text, std::size_t quote_start) {
  std::vector<QuotePiece> pieces;
  std::string running;
  bool quoted = false;
  for (std::size_t index = 0; !text.empty(); ++index) {
    std::string_view character = take_character(text);
    if (character == "'" || character == kOpen || character == kClose) character = "\"";
    const bool is_mark = character == "\"" && index >= quote_start;
    if (quoted && !is_mark) {
      pieces.push_back({std::string(kOpen).append(character).append(kClose), true});
      continue;
    }
    // The mark that opens ends the piece before it; the one that closes begins the piece after it.
    running += character;
    if (!is_mark) continue;
    if (!quoted) pieces.push_back({std::exchange(running, {}), false});
    quoted = !quoted;
  }
  if (!running.empty()) pieces.push_back({std::move(running), false});
  return pieces;
}

std::vector<QuotePiece> cut_marked(std::string_view text, std::size_t quote_start) {
  std::vector<QuotePiece> pieces;
  std::string running;
  std::vector<QuotePiece> inside;  // of a quotation that may yet turn out not to close
  std::string_view closing;        // empty outside quotations
  for (std::size_t index = 0; !text.empty(); ++index) {
    const std::string_view character = take_character(text);
    if (!closing.empty()) {
      if (character != closing) {
        inside.push_back({std::string(character), true});
        continue;
      }
      std::ranges::move(inside, std::back_inserter(pieces));
      inside.clear();
      running = character;
      closing = {};
    } else if (index >= quote_start && character == "\"") {
      pieces.push_back({std::exchange(running, {}).append(character), false});
      closing = "\"";
    } else if (index >= quote_start && character == kOpen) {
      // The reference loses a curly mark that nothing precedes.
      if (!running.empty()) pieces.push_back({std::exchange(running, {}).append(character), false});
      closing = kClose;
    } else {
      running += character;
    }
  }
  if (closing.empty()) {
    if (!running.empty()) pieces.push_back({std::move(running), false});
    return pieces;
  }
  for (const QuotePiece& piece : inside) running += piece.text;
  if (!pieces.empty() && !pieces.back().quoted) {
    pieces.back().text += running;
  } else {
    pieces.push_back({std::move(running), false});
  }
  return pieces;
}

}  // namespace step1x
