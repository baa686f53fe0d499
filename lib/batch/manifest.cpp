#include "batch/manifest.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.hpp"
#include "base/read_file.hpp"
#include "base/utf8.hpp"
#include "batch/journal.hpp"
#include "batch/scan.hpp"
#include "request/parameters.hpp"

namespace step1x::batch {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 30;

// What a line may have.
std::string known() {
  std::string names = "input";
  for (const request::Parameter& parameter : request::parameters()) {
    if (parameter.column) names += fmt::format(", {}", parameter.name);
  }
  return names + ", output";
}

// Where in which file, for messages.
struct Place {
  const fs::path& file;
  std::size_t line;

  std::string text(const std::string& what) const {
    return fmt::format("{}, line {}: {}", file == "-" ? "the manifest" : file.string(), line, what);
  }
  Error error(const std::string& what) const { return Error(ErrorCode::usage, text(what)); }
};

// A pipe too, as a shell makes one of <(...).
std::string read_file(const fs::path& file) {
  if (file == "-") return read_to_end(STDIN_FILENO, "the manifest on standard input", kMaxBytes, ErrorCode::usage);
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) throw Error::format(ErrorCode::usage, "cannot read the manifest {}: {}", file.string(), errno_text());
  return read_to_end(fd.get(), "the manifest " + file.string(), kMaxBytes, ErrorCode::usage);
}

std::string text_of(const Json& value, const std::string& name, const Place& place) {
  if (!value.is_string()) throw place.error(name + " is not a string");
  // The system would take it for the end of the path, and so for another file.
  if (value.get_ref<const std::string&>().find('\0') != std::string::npos)
    throw place.error(name + " has a zero byte in it, which no path can have");
  return value.get<std::string>();
}

// In the one spelling that a journal has for it.
std::string output_of(const std::string& output, const Place& place) {
  const fs::path path(output);
  const fs::path normal(normal_output(output));
  const bool outside = path.is_absolute() || std::ranges::find(path, fs::path("..")) != path.end();
  if (outside || !normal.has_filename() || normal == ".")
    throw place.error(fmt::format("output '{}' is no file below the output folder", output));
  return normal.generic_string();
}

bool is_member(const std::string& name) {
  const request::Parameter* parameter = request::find(name);
  return name == "input" || name == "image" || name == "output" || (parameter != nullptr && parameter->column);
}

std::string not_known(const std::string& name) {
  return fmt::format("'{}' is none of {}", name, known());
}

// Counts the lines of a text that is read through it, up to where its reader is.
class LineCounter {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  LineCounter(const char* at, std::size_t* line) : at_(at), line_(line) {}
  reference operator*() const { return *at_; }
  LineCounter& operator++() {
    if (*at_++ == '\n') ++*line_;
    return *this;
  }
  bool operator==(const LineCounter& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  std::size_t* line_;
};

// An object and the lines of its members' names. A name that comes twice is refused: of two prompts one would be lost.
struct Object {
  Json json;
  std::vector<std::size_t> lines;
};
Object parse_object(const std::string& text, const Place& begin, const std::string& what) {
  std::size_t line = begin.line;
  Object object;
  std::set<std::string> names;
  const auto see = [&](int depth, Json::parse_event_t event, const Json& parsed) {
    if (depth != 1 || event != Json::parse_event_t::key) return true;
    const std::string name = parsed.get<std::string>();
    if (!names.insert(name).second) throw Place{begin.file, line}.error(fmt::format("'{}' is there twice", name));
    object.lines.push_back(line);
    return true;
  };
  object.json = Json::parse(LineCounter(text.data(), &line), LineCounter(text.data() + text.size(), &line), see,
                            /*allow_exceptions=*/false);
  if (!object.json.is_object()) throw begin.error("not a JSON object" + what);
  return object;
}

// Of one line, whatever the file's kind.
Item make_item(const Json& object, const fs::path& folder, const Place& place) {
  Item item;
  for (const auto& [name, value] : object.items()) {
    const request::Parameter* parameter = request::find(name);
    if (value.is_null()) continue;
    if (name == "input" || name == "image") {
      if (!item.key.empty()) throw place.error("there are both input and image, which mean the same");
      const fs::path path = fs::path(text_of(value, name, place)).lexically_normal();
      item.key = key_of(path.generic_string());
      item.input = folder / path;
    } else if (name == "output") {
      const std::string output = text_of(value, name, place);
      // A journal has to be text.
      if (find_invalid_utf8(output)) throw place.error("output is not valid UTF-8");
      item.output = output_of(output, place);
    } else if (parameter != nullptr && parameter->column) {
      item.own[name] = request::to_sent(*parameter, value, place.text(name));
    } else {
      throw place.error(not_known(name));
    }
  }
  if (item.key.empty()) throw place.error("there is no input");
  return item;
}

std::vector<Item> from_lines(const std::string& text, const fs::path& file, const fs::path& folder) {
  std::vector<Item> items;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    const Place place{file, ++number};
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    items.push_back(make_item(parse_object(line, place, "").json, folder, place));
  }
  return items;
}

// A cell as the JSON value that it means in its column.
Json cell_value(const std::string& column, const std::string& cell) {
  const request::Parameter* parameter = request::find(column);
  if (parameter == nullptr || parameter->type == request::Type::text) return cell;
  const auto first = cell.find_first_not_of(" \t");
  if (first == std::string::npos) return cell;
  return request::value_of_text(*parameter, cell.substr(first, cell.find_last_not_of(" \t") - first + 1));
}

std::vector<Item> from_table(const std::string& text, char separator, const fs::path& file, const fs::path& folder) {
  std::vector<Row> rows = parse_table(text, separator, file.string());
  if (rows.empty()) return {};
  const std::vector<std::string> columns = rows.front().cells;
  const Place header{file, rows.front().line};
  rows.erase(rows.begin());
  // Columns without a name are what a spreadsheet leaves behind the last one.
  std::set<std::string> names;
  for (const std::string& column : columns) {
    if (!column.empty() && !names.insert(column).second)
      throw header.error(fmt::format("the column '{}' is there twice", column));
  }
  std::vector<Item> items;
  for (const Row& row : rows) {
    const Place place{file, row.line};
    if (row.cells.size() != columns.size())
      throw place.error(fmt::format("{} cells in {} columns", row.cells.size(), columns.size()));
    Json object = Json::object();
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (row.cells[i].empty()) continue;
      // A column that nobody fills in does no harm.
      if (!is_member(columns[i])) throw header.error(not_known(columns[i]));
      object[columns[i]] = cell_value(columns[i], row.cells[i]);
    }
    items.push_back(make_item(object, folder, place));
  }
  return items;
}

std::vector<Item> from_object(const std::string& text, const fs::path& file, const fs::path& folder) {
  const Object object = parse_object(text, {file, 1}, " of pictures and their prompts");
  std::vector<Item> items;
  for (const auto& [picture, prompt] : object.json.items()) {
    const Place place{file, object.lines[items.size()]};
    if (!prompt.is_string()) throw place.error(fmt::format("the prompt of {} is not a string", picture));
    items.push_back(make_item({{"input", picture}, {"prompt", prompt}}, folder, place));
  }
  return items;
}

}  // namespace

std::vector<Item> read_manifest(const fs::path& file, const fs::path& folder) {
  const std::string kind = file.extension().string();
  const std::string whole = read_file(file);
  const std::string text(without_byte_order_mark(whole));
  if (kind == ".jsonl" || kind == ".ndjson") return from_lines(text, file, folder);
  if (kind == ".csv" || kind == ".tsv") return from_table(text, kind == ".csv" ? ',' : '\t', file, folder);
  if (kind == ".json") return from_object(text, file, folder);
  // A pipe has no name that tells.
  std::error_code ignored;
  if (file != "-" && !fs::is_fifo(file, ignored))
    throw Error::format(ErrorCode::usage, "the manifest {} is none of .jsonl, .ndjson, .csv, .tsv, .json",
                        file.string());
  const std::string_view first = std::string_view(text).substr(0, text.find('\n'));
  if (first.starts_with('{')) return from_lines(text, file, folder);
  return from_table(text, first.find('\t') == std::string_view::npos ? ',' : '\t', file, folder);
}

}  // namespace step1x::batch
