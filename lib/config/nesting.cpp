#include "config/nesting.hpp"

#include <algorithm>

namespace step1x::config {
namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  std::optional<int> scan() {
    while (!rest_.empty()) {
      if (rest_.starts_with(R"(""")") || rest_.starts_with("'''")) {
        skip_long_string(rest_.substr(0, 3));
      } else if (rest_.front() == '"' || rest_.front() == '\'') {
        skip_string(rest_.front());
      } else if (rest_.front() == '#') {
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
      } else {
        count(next());
      }
      if (depth_ > kMaxNesting || dots_ > kMaxNesting) return line_;
    }
    return std::nullopt;
  }

 private:
  char next() {
    const char c = rest_.front();
    rest_.remove_prefix(1);
    if (c == '\n') ++line_;
    return c;
  }

  void count(char c) {
    if (c == '[' || c == '{') ++depth_;
    if ((c == ']' || c == '}') && depth_ > 0) --depth_;
    if (c == '.') ++dots_;
    // Within a bracket the keys of later lines go on nesting.
    if (c == '\n' && depth_ == 0) dots_ = 0;
  }

  // Ends at its quote or, as an error that the parser reports, at the end of the line.
  void skip_string(char quote) {
    next();
    while (!rest_.empty() && rest_.front() != '\n') {
      const char c = next();
      if (c == quote) return;
      if (c == '\\' && quote == '"' && !rest_.empty()) next();
    }
  }

  void skip_long_string(std::string_view quotes) {
    rest_.remove_prefix(quotes.size());
    while (!rest_.empty()) {
      if (rest_.starts_with(quotes)) {
        rest_.remove_prefix(quotes.size());
        // One or two more quotes belong to the string: """say "yes"""""
        for (int i = 0; i < 2 && !rest_.empty() && rest_.front() == quotes.front(); ++i) rest_.remove_prefix(1);
        return;
      }
      if (next() == '\\' && quotes.front() == '"' && !rest_.empty()) next();
    }
  }

  std::string_view rest_;
  int line_ = 1;
  int depth_ = 0;
  int dots_ = 0;
};

}  // namespace

std::optional<int> line_nested_too_deep(std::string_view text) {
  return Scanner(text).scan();
}

}  // namespace step1x::config
