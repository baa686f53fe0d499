// Cuts chat text at its quotation marks. Pure; text is UTF-8 and positions are counted in code points.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace step1x {

struct QuotePiece {
  std::string text;
  bool quoted = false;
};

// QuoteStyle::wrapped. Quoted characters come wrapped in curly quotes, one a piece. A quotation mark that is never
// closed makes everything after it quoted.
std::vector<QuotePiece> cut_wrapped(std::string_view text, std::size_t quote_start);

// QuoteStyle::marked. Quoted characters come bare, one a piece. A quotation mark that is never closed quotes nothing.
std::vector<QuotePiece> cut_marked(std::string_view text, std::size_t quote_start);

}  // namespace step1x
