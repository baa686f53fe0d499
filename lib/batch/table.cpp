#include "base/error.hpp"
#include "batch/manifest.hpp"

namespace step1x::batch {

std::vector<Row> parse_table(std::string_view text, char separator, const std::string& what) {
  std::vector<Row> rows;
  std::size_t line = 1;
  for (std::size_t at = 0; at < text.size();) {
    Row row{line, {}};
    for (bool more = true; more;) {
      std::string cell;
      if (at < text.size() && text[at] == '"') {
        const std::size_t opened = line;
        for (++at;; ++at) {
          if (at >= text.size())
            throw Error::format(ErrorCode::usage, "{}, line {}: a quote is not closed", what, opened);
          if (text[at] == '"' && (at + 1 >= text.size() || text[at + 1] != '"')) break;
          if (text[at] == '"') ++at;
          if (text[at] == '\n') ++line;
          cell += text[at];
        }
        ++at;
      }
      const std::size_t end = std::min(text.find_first_of(std::string{separator, '\n'}, at), text.size());
      cell += text.substr(at, end - at);
      more = end < text.size() && text[end] == separator;
      if (!more && cell.ends_with('\r')) cell.pop_back();
      row.cells.push_back(std::move(cell));
      at = end + 1;
    }
    ++line;
    if (row.cells.size() > 1 || !row.cells[0].empty()) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace step1x::batch
