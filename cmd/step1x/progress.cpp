#include "progress.hpp"

#include <algorithm>
#include <cmath>

#include "base/duration.hpp"
#include "ipc/fields.hpp"
#include "terminal.hpp"

#include <fmt/format.h>

namespace step1x::cli {

Progress::Style Progress::choose(bool quiet, bool progress_json) {
  if (progress_json) return Style::ndjson;
  return !quiet && stderr_is_terminal() ? Style::bar : Style::none;
}

void Progress::show(const ipc::Json& event) {
  if (style_ == Style::none) return;
  const ipc::Fields fields(event);
  const std::string name = fields.text("event", "");
  if (style_ == Style::ndjson) {
    ipc::Json line = event;
    for (const char* internal : {"id", "fd"}) line.erase(internal);
    return say_json(line);
  }
  if (name == "queued") {
    const auto position = fields.integer_or("position", 0, INT64_MAX, 0);
    draw(position == 0 ? "starting" : fmt::format("waiting, {} before this one", position), 0);
  } else if (name == "loading") {
    const double total = fields.number("total", 0, 1e18);
    const double fraction = total > 0 ? fields.number("done", 0, 1e18) / total : 0;
    draw(fmt::format("loading the model {:3.0f} %", 100 * fraction), fraction);
  } else if (name == "step") {
    const auto step = fields.integer("step", 0, 1 << 20);
    const auto steps = fields.integer("steps", 1, 1 << 20);
    const auto left = std::chrono::seconds(std::lround(fields.number("seconds_left", 0, 1e9)));
    draw(fmt::format("step {}/{}{}", step, steps, left.count() > 0 ? ", " + format_duration(left) + " left" : ""),
         static_cast<double>(step) / static_cast<double>(steps));
  }
}

void Progress::draw(const std::string& text, double fraction) {
  if (style_ != Style::bar) return;
  constexpr int kWidest = 40;
  const int room = terminal_width() - static_cast<int>(text.size()) - 4;
  const int width = std::clamp(room, 0, kWidest);
  const int full = static_cast<int>(width * std::clamp(fraction, 0.0, 1.0));
  const std::string bar = width < 8 ? "" : fmt::format("[{:#<{}}{:.<{}}] ", "", full, "", width - full);
  const auto columns = std::max(1, terminal_width() - 1);
  cli::draw(fmt::format("\r{:.{}}\x1b[K", bar + text, columns));
  drawn_ = true;
}

void Progress::clear() {
  if (drawn_) cli::draw("\r\x1b[K");
  drawn_ = false;
}

}  // namespace step1x::cli
