#include "config/toml_file.hpp"

#include <fcntl.h>
#include <toml++/toml.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/process.hpp"
#include "config/nesting.hpp"

namespace step1x::config {
namespace {

constexpr std::size_t kMaxBytes = 1 << 20;

Error error_at(const std::filesystem::path& path, std::size_t line, std::string_view what) {
  return Error::format(ErrorCode::usage, "{}:{}: {}", path.string(), line, what);
}

std::optional<std::string> read_whole(const std::filesystem::path& path) {
  const auto fail = [&path](const std::string& why) {
    return Error::format(ErrorCode::usage, "cannot read the configuration file {}: {}", path.string(), why);
  };
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!file) throw fail(errno_text());
  std::string text(kMaxBytes + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = ::read(file.get(), text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw fail(errno_text());
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  if (size > kMaxBytes) throw fail("it is larger than 1 MiB; is it the right file?");
  text.resize(size);
  return text;
}

void check_text(const std::filesystem::path& path, const std::string& text) {
  const auto nul = text.find('\0');
  if (nul != std::string::npos) {
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(nul), '\n');
    throw error_at(path, static_cast<std::size_t>(line), "a NUL byte; a configuration file is UTF-8 text");
  }
  if (const auto line = line_nested_too_deep(text)) {
    throw error_at(path, static_cast<std::size_t>(*line),
                   fmt::format("nested more than {} deep; settings need one table at most", kMaxNesting));
  }
}

toml::table parse(const std::filesystem::path& path, const std::string& text) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& problem) {
    throw error_at(path, problem.source().begin.line, one_line(problem.description()));
  }
}

std::string type_name(const toml::node& node) {
  if (node.is_table()) return "a table";
  if (node.is_array()) return "an array";
  return "a date or time";
}

std::variant<Value, OtherValue> value_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return Value(text->get());
  if (const auto* integer = node.as_integer()) return Value(integer->get());
  if (const auto* number = node.as_floating_point()) return Value(number->get());
  if (const auto* boolean = node.as_boolean()) return Value(boolean->get());
  return OtherValue{type_name(node)};
}

}  // namespace

std::optional<std::vector<FileValue>> read_toml_file(const std::filesystem::path& path,
                                                     const std::vector<std::string>& table_names) {
  const std::optional<std::string> text = read_whole(path);
  if (!text) return std::nullopt;
  check_text(path, *text);
  const toml::table root = parse(path, *text);

  std::vector<std::pair<std::size_t, FileValue>> found;
  const auto add = [&](const toml::key& key, const toml::node& node, const std::string& table) {
    const std::size_t line = key.source().begin.line;
    found.push_back({line, {std::string(key.str()), table, value_of(node), fmt::format("{}:{}", path.string(), line)}});
  };
  for (const auto& [key, node] : root) {
    const toml::table* table = node.as_table();
    if (table == nullptr || std::ranges::find(table_names, key.str()) == table_names.end()) {
      add(key, node, "");
      continue;
    }
    for (const auto& [inner_key, inner] : *table) add(inner_key, inner, std::string(key.str()));
  }
  // toml++ sorts by key; the first error told should be the first in the file.
  std::ranges::stable_sort(found, {}, [](const auto& entry) { return entry.first; });
  std::vector<FileValue> values;
  values.reserve(found.size());
  for (auto& entry : found) values.push_back(std::move(entry.second));
  return values;
}

}  // namespace step1x::config
