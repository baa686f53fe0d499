#include "config/key_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <variant>

#include "base/error.hpp"
#include "config/nearest.hpp"
#include "request/parameters.hpp"

namespace step1x::config {
namespace {

struct Range {
  double low = 0;
  double high = 0;
};

struct Row {
  Key key;
  std::variant<const request::Parameter*, std::string Settings::*, std::int64_t Settings::*, bool Settings::*,
               Duration Settings::*>
      member;
  Range range = {};  // of numbers
};

// Those that are no parameter of a job. max_pixels and max_side: ipc/protocol.md, section 2.
const std::vector<Row> kOwnRows{
    Row{{"model", "STEP1X_MODEL", "MODEL_PATH", "path", "The model: a name from [models], or a folder"},
        &Settings::model},
    Row{{"timeout", "STEP1X_TIMEOUT", "", "duration", "Longest time an edit may take, from start to end"},
        &Settings::timeout},
    Row{{"offload_delay", "STEP1X_OFFLOAD_DELAY", "", "duration",
         "From the last job until the model leaves the GPU for host memory"},
        &Settings::offload_delay},
    Row{{"idle_timeout", "STEP1X_IDLE_TIMEOUT", "GPU_IDLE_TIMEOUT", "duration",
         "From the last job until the GPU is given back altogether"},
        &Settings::idle_timeout},
    Row{{"host_timeout", "STEP1X_HOST_TIMEOUT", "", "duration", "From the last job until the model leaves host memory"},
        &Settings::host_timeout},
    Row{{"exit_timeout", "STEP1X_EXIT_TIMEOUT", "", "duration", "From the last work until an empty worker ends"},
        &Settings::exit_timeout},
    Row{{"auto_monitor", "STEP1X_AUTO_MONITOR", "", "boolean", "Whether the idle timers run at all"},
        &Settings::auto_monitor},
    Row{{"runtime_dir", "STEP1X_RUNTIME_DIR", "", "path", "Directory of the worker's socket, locks and log"},
        &Settings::runtime_dir},
    Row{{"metadata", "STEP1X_METADATA", "", "boolean", "Whether a result says in its metadata how it was made"},
        &Settings::metadata},
    Row{{"strip", "STEP1X_STRIP", "", "boolean", "Whether the EXIF of the input stays out of the result"},
        &Settings::strip},
    Row{{"max_pixels", "STEP1X_MAX_PIXELS", "", "integer", "Largest input picture, in pixels"},
        &Settings::max_pixels,
        {1, 268'435'456}},
    Row{{"max_side", "STEP1X_MAX_SIDE", "", "integer", "Longest side of an input picture, in pixels"},
        &Settings::max_side,
        {1, 65'535}},
    Row{{"max_file_bytes", "STEP1X_MAX_FILE_BYTES", "", "integer", "Largest input file, in bytes"},
        &Settings::max_file_bytes,
        {1, 1e12}},
    Row{{"quality", "STEP1X_QUALITY", "", "integer",
         "Quality of a result that is JPEG, WebP, AVIF or HEIC; 0: each format's own"},
        &Settings::quality,
        {0, 100}},
};

std::string_view type_name(request::Type type) {
  switch (type) {
    case request::Type::integer:
      return "integer";
    case request::Type::number:
      return "number";
    case request::Type::boolean:
      return "boolean";
    case request::Type::duration:
      return "duration";
    case request::Type::text:
    case request::Type::word:
    case request::Type::size:
    case request::Type::signed_size:
      break;
  }
  return "string";
}

std::string variable_of(std::string_view name) {
  std::string variable = "STEP1X_";
  for (const char c : name) variable += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return variable;
}

// The model first, then what concerns a job.
const std::vector<Row>& rows() {
  static const std::vector<Row> all = [] {
    std::vector<Row> list{kOwnRows.front()};
    for (const request::Parameter& parameter : request::parameters()) {
      if (!parameter.setting) continue;
      const std::string_view name = parameter.name;
      list.push_back({{name, variable_of(name), "", type_name(parameter.type), parameter.help}, &parameter});
    }
    list.insert(list.end(), kOwnRows.begin() + 1, kOwnRows.end());
    return list;
  }();
  return all;
}

const Row& row_of(const Key& key) {
  return *std::ranges::find(rows(), key.name, [](const Row& row) { return row.key.name; });
}

// What a value of a row that is no parameter's has to be.
std::string expected(const Row& row) {
  if (row.key.type == "integer") return fmt::format("an integer from {:.0f} to {:.0f}", row.range.low, row.range.high);
  if (row.key.type == "boolean") return "true or false";
  return "a string in quotes";
}

std::string shown(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return in_quotes(*text);
  return std::visit(
      [](const auto& v) -> std::string {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::string>)
          return v;
        else
          return fmt::format("{}", v);
      },
      value);
}

class Setter {
 public:
  Setter(const Row& row, const Value& value, std::string_view where, Settings& settings)
      : row_(row), value_(value), where_(where), settings_(settings) {}

  void operator()(const request::Parameter* parameter) const {
    const request::Json written = std::visit([](const auto& value) { return request::Json(value); }, value_);
    if (written.is_string()) check_text(written.get_ref<const std::string&>());
    request::to_sent(*parameter, written, fmt::format("{}: {}", where_, row_.key.name));
    settings_.job[std::string(row_.key.name)] = written;
  }
  void operator()(std::string Settings::* member) const {
    const auto* text = std::get_if<std::string>(&value_);
    if (text == nullptr) throw wrong();
    check_text(*text);
    settings_.*member = *text;
  }
  void operator()(std::int64_t Settings::* member) const {
    const auto* integer = std::get_if<std::int64_t>(&value_);
    if (integer == nullptr || !in_range(static_cast<double>(*integer))) throw wrong();
    settings_.*member = *integer;
  }
  void operator()(bool Settings::* member) const {
    const auto* boolean = std::get_if<bool>(&value_);
    if (boolean == nullptr) throw wrong();
    settings_.*member = *boolean;
  }
  void operator()(Duration Settings::* member) const {
    const auto* text = std::get_if<std::string>(&value_);
    const bool seconds = std::holds_alternative<std::int64_t>(value_) || std::holds_alternative<double>(value_);
    if (text == nullptr && !seconds) {
      throw Error::format(ErrorCode::usage, "{}: {} must be a duration, \"10m\" or a number of seconds, not {}", where_,
                          row_.key.name, shown(value_));
    }
    settings_.*member =
        parse_duration(text != nullptr ? *text : shown(value_), fmt::format("{}: {}", where_, row_.key.name));
  }

 private:
  void check_text(const std::string& text) const {
    if (text.find('\0') != std::string::npos)
      throw Error::format(ErrorCode::usage, "{}: {} must not hold a NUL", where_, row_.key.name);
  }
  // False for NaN.
  bool in_range(double number) const { return number >= row_.range.low && number <= row_.range.high; }
  Error wrong() const {
    return Error::format(ErrorCode::usage, "{}: {}: {} is not {}", where_, row_.key.name, shown(value_),
                         expected(row_));
  }

  const Row& row_;
  const Value& value_;
  std::string_view where_;
  Settings& settings_;
};

std::string written_duration(Duration duration) {
  if (duration < Duration::zero()) return "-1";
  constexpr std::array kUnits{std::pair{3'600'000, "h"}, std::pair{60'000, "m"}, std::pair{1000, "s"}};
  for (const auto& [milliseconds, unit] : kUnits) {
    if (duration.count() != 0 && duration.count() % milliseconds == 0)
      return fmt::format("\"{}{}\"", duration.count() / milliseconds, unit);
  }
  return duration == Duration::zero() ? "0" : fmt::format("\"{}ms\"", duration.count());
}

}  // namespace

const std::vector<Key>& keys() {
  static const std::vector<Key> all = [] {
    std::vector<Key> list;
    list.reserve(rows().size());
    for (const Row& row : rows()) list.push_back(row.key);
    return list;
  }();
  return all;
}

const Key* find_key(std::string_view name) {
  const auto found = std::ranges::find(keys(), name, &Key::name);
  return found == keys().end() ? nullptr : &*found;
}

std::string suggestion(std::string_view name) {
  constexpr std::size_t kLongest = 64;  // anything longer is no slip of the hand, and the distance is quadratic
  const auto nearest =
      std::ranges::min(keys(), {}, [&](const Key& key) { return distance(name.substr(0, kLongest), key.name); });
  const std::size_t close = std::max<std::size_t>(2, nearest.name.size() / 3);
  if (name.size() <= kLongest && distance(name, nearest.name) <= close)
    return fmt::format("; did you mean '{}'?", nearest.name);
  return "; step1x.toml(5) lists all keys";
}

Value value_of_text(const Key& key, const std::string& text) {
  if (const auto* parameter = std::get_if<const request::Parameter*>(&row_of(key).member)) {
    const request::Json value = request::value_of_text(**parameter, text);
    if (value.is_number_integer()) return value.get<std::int64_t>();
    if (value.is_number()) return value.get<double>();
    if (value.is_boolean()) return value.get<bool>();
    return text;
  }
  const char* begin = text.data();
  const char* end = begin + text.size();
  if (key.type == "integer") {
    std::int64_t integer = 0;
    const auto [stop, problem] = std::from_chars(begin, end, integer);
    if (problem == std::errc{} && stop == end) return integer;
  } else if (key.type == "boolean") {
    if (text == "true" || text == "1") return true;
    if (text == "false" || text == "0") return false;
  }
  return text;
}

void apply(const Key& key, const Value& value, std::string_view where, Settings& settings) {
  const Row& row = row_of(key);
  std::visit(Setter(row, value, where, settings), row.member);
}

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) {
      out += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string written(const Key& key, const Settings& settings) {
  struct Writer {
    const Settings& settings;
    std::string operator()(const request::Parameter* parameter) const {
      request::Json value = settings.job.value(std::string(parameter->name), request::fallback(*parameter));
      if (value.is_number_float()) return fmt::format("{}", value.get<double>());
      if (value.is_number() || value.is_boolean()) return value.dump();
      return in_quotes(value.is_null() ? "" : value.get<std::string>());
    }
    std::string operator()(std::string Settings::* member) const { return in_quotes(settings.*member); }
    std::string operator()(Duration Settings::* member) const { return written_duration(settings.*member); }
    std::string operator()(std::int64_t Settings::* member) const { return fmt::format("{}", settings.*member); }
    std::string operator()(bool Settings::* member) const { return fmt::format("{}", settings.*member); }
  };
  return std::visit(Writer{settings}, row_of(key).member);
}

}  // namespace step1x::config
