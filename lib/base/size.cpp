#include "base/size.hpp"

#include <charconv>
#include <cmath>

#include "base/error.hpp"

namespace step1x {
namespace {

constexpr std::string_view kPrefixes = "kmgt";
// More than any machine has, and far from overflowing.
constexpr double kLargest = 1ULL << 50;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

std::uint64_t parse_size(std::string_view text, std::string_view what) {
  const auto bad = [&] {
    return Error::format(ErrorCode::usage, "{}: '{}' is not a size: write 512M, 24G, 1.5GiB, or a number of bytes",
                         what, text);
  };
  double number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{} || !std::isfinite(number) || number < 0) throw bad();
  std::string unit;
  for (const char c : text.substr(static_cast<std::size_t>(end - text.data()))) unit += lower(c);
  if (!unit.empty()) {
    const auto power = kPrefixes.find(unit.front());
    const std::string rest = unit.substr(1);
    if (power == std::string_view::npos || (!rest.empty() && rest != "b" && rest != "ib")) throw bad();
    number = std::ldexp(number, 10 * static_cast<int>(power + 1));
  }
  if (number > kLargest) throw bad();
  return static_cast<std::uint64_t>(number);
}

std::int64_t parse_signed_size(std::string_view text, std::string_view what) {
  const bool negative = text.starts_with('-');
  const auto size = static_cast<std::int64_t>(parse_size(negative ? text.substr(1) : text, what));
  return negative ? -size : size;
}

std::string format_size(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto number = static_cast<double>(bytes);
  std::size_t power = 0;
  for (; number >= 1024 && power < kPrefixes.size(); ++power) number /= 1024;
  return fmt::format("{:.1f} {}iB", number, "KMGT"[power - 1]);
}

}  // namespace step1x
