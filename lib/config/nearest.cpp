#include "config/nearest.hpp"

#include <algorithm>
#include <array>
#include <numeric>

namespace step1x::config {
namespace {

// Anything longer is no slip of the hand, and the distance is quadratic.
constexpr std::size_t kLongestWord = 64;

char plain(char c) {
  return c == '-' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

std::size_t distance(std::string_view a, std::string_view b) {
  // The rows of the two letters before this one and of this one; three are all that is ever looked at.
  std::array<std::vector<std::size_t>, 3> rows;
  for (auto& row : rows) row.resize(b.size() + 1);
  std::iota(rows[1].begin(), rows[1].end(), 0U);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto& [before, above, row] = rows;
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const char x = plain(a[i - 1]);
      const char y = plain(b[j - 1]);
      row[j] = std::min({above[j - 1] + (x == y ? 0 : 1), above[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && x == plain(b[j - 2]) && y == plain(a[i - 2])) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::ranges::rotate(rows, rows.begin() + 1);
  }
  return rows[1].back();
}

std::optional<std::size_t> nearest(std::string_view word, const std::vector<std::string>& known) {
  if (word.size() > kLongestWord) return std::nullopt;
  std::optional<std::size_t> best;
  std::size_t least = word.size() / 3;
  for (std::size_t i = 0; i < known.size(); ++i) {
    const std::size_t far = distance(word, known[i]);
    if (far > least || (best && far == least)) continue;
    best = i;
    least = far;
  }
  return best;
}

}  // namespace step1x::config
