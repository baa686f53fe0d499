#include "base/duration.hpp"

#include <array>
#include <charconv>
#include <cmath>

#include "base/error.hpp"

namespace step1x {
namespace {

struct Unit {
  std::string_view suffix;
  double milliseconds;
};
constexpr std::array kUnits{Unit{"ms", 1}, Unit{"s", 1e3}, Unit{"m", 60e3}, Unit{"h", 3600e3}, Unit{"d", 86400e3}};

}  // namespace

Duration parse_duration(std::string_view text, std::string_view what) {
  const auto bad = [&] {
    return Error::format(
        ErrorCode::usage,
        "{}: '{}' is not a duration: write 90s, 10m, 1h, a number of seconds, 0 for at once or -1 for never", what,
        text);
  };
  double number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{} || !std::isfinite(number)) throw bad();
  const std::string_view suffix(end, static_cast<std::size_t>(text.data() + text.size() - end));
  double scale = suffix.empty() ? 1e3 : 0;
  for (const Unit& unit : kUnits) {
    if (unit.suffix == suffix) scale = unit.milliseconds;
  }
  if (scale == 0) throw bad();
  if (number < 0) return kNever;
  if (number * scale > static_cast<double>(kLongestDuration.count())) throw bad();
  return Duration(std::llround(number * scale));
}

std::string format_duration(Duration duration) {
  using namespace std::chrono;
  if (duration < Duration::zero()) return "never";
  if (duration == Duration::zero()) return "0s";
  if (duration < seconds(1)) return fmt::format("{}ms", duration.count());
  const auto h = duration_cast<hours>(duration);
  const auto m = duration_cast<minutes>(duration - h);
  const Duration s = duration - h - m;
  std::string text;
  const auto add = [&text](auto count, char unit) {
    if (count > 0) text += fmt::format("{}{}{}", text.empty() ? "" : " ", count, unit);
  };
  add(h.count(), 'h');
  add(m.count(), 'm');
  // To the millisecond, where there are any: 1500 of them are not one second.
  add(static_cast<double>(s.count()) / 1000, 's');
  return text;
}

double in_seconds(Duration duration) {
  return duration < Duration::zero() ? -1 : static_cast<double>(duration.count()) / 1000;
}

}  // namespace step1x
