#include "batch/manifest.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

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

// Of one line, whatever the file's kind.
Item make_item(const Json& object, const fs::path& folder, const Place& place) {
  Item item;
  for (const auto& [name, value] : object.items()) {
    const request::Parameter* parameter = request::find(name);
    if (value.is_null()) continue;
    if (name == "input" || name == "image") {
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
      throw place.error(fmt::format("'{}' is none of {}", name, known()));
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
    const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) throw place.error("not a JSON object");
    items.push_back(make_item(object, folder, place));
  }
  return items;
}

// A cell as the JSON value that it means in its column.
Json cell_value(const std::string& column, const std::string& cell) {
  if (cell.empty()) return nullptr;
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
  rows.erase(rows.begin());
  std::vector<Item> items;
  for (const Row& row : rows) {
    const Place place{file, row.line};
    if (row.cells.size() != columns.size())
      throw place.error(fmt::format("{} cells in {} columns", row.cells.size(), columns.size()));
    Json object = Json::object();
    for (std::size_t i = 0; i < columns.size(); ++i) object[columns[i]] = cell_value(columns[i], row.cells[i]);
    items.push_back(make_item(object, folder, place));
  }
  return items;
}

std::vector<Item> from_object(const std::string& text, const fs::path& file, const fs::path& folder) {
  const Json object = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const Place place{file, 1};
  if (!object.is_object()) throw place.error("not a JSON object of pictures and their prompts");
  std::vector<Item> items;
  for (const auto& [picture, prompt] : object.items()) {
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
