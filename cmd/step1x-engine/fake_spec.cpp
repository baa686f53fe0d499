#include "fake_spec.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.hpp"
#include "base/size.hpp"

namespace step1x::engine {
namespace {

constexpr std::array kActions{"die", "exit", "hang", "fail", "oom", "hog", "shrink", "garbage"};
constexpr std::array kPoints{"hello", "load", "step", "done", "offload"};

Error bad(std::string_view item) {
  return Error::format(ErrorCode::usage,
                       "fake engine: '{}' is none of step=, open=, load=, offload=, vram=, arena= (durations, GiB, a "
                       "size) or ACTION@POINT[=N]",
                       item);
}

template <typename Names>
bool known(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

int number(std::string_view text, std::string_view item) {
  int value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end != text.data() + text.size() || value < 0) throw bad(item);
  return value;
}

void add(FakeSpec& spec, std::string_view item) {
  const auto equals = item.find('=');
  const std::string_view key = item.substr(0, equals);
  const std::string_view value = equals == std::string_view::npos ? "" : item.substr(equals + 1);
  if (const auto at = key.find('@'); at != std::string_view::npos) {
    const std::string_view action = key.substr(0, at);
    const std::string_view point = key.substr(at + 1);
    if (!known(kActions, action) || !known(kPoints, point)) throw bad(item);
    spec.faults[std::string(point)] = {std::string(action), value.empty() ? 1 : number(value, item)};
  } else if (key == "step") {
    spec.step = parse_duration(value, "fake engine: step");
  } else if (key == "open") {
    spec.open = parse_duration(value, "fake engine: open");
  } else if (key == "load") {
    spec.load = parse_duration(value, "fake engine: load");
  } else if (key == "offload") {
    spec.offload = parse_duration(value, "fake engine: offload");
  } else if (key == "vram") {
    spec.vram = static_cast<std::int64_t>(number(value, item)) << 30;
  } else if (key == "arena") {
    spec.arena = parse_size(value, "fake engine: arena");
  } else {
    throw bad(item);
  }
}

}  // namespace

FakeSpec FakeSpec::parse(std::string_view text) {
  FakeSpec spec;
  while (!text.empty()) {
    const auto comma = text.find(',');
    add(spec, text.substr(0, comma));
    text = comma == std::string_view::npos ? "" : text.substr(comma + 1);
  }
  return spec;
}

}  // namespace step1x::engine
