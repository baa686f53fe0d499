// The configuration file as a list of its values, in the order of their lines. What the keys mean is key_table.hpp's
// business. Not thread-safe.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "config/value.hpp"

namespace step1x::config {

// A table, an array or a date: something no setting is.
struct OtherValue {
  std::string type;  // "an array"
};

struct FileValue {
  std::string key;    // at the top level, or below [table]
  std::string table;  // empty: the top level
  std::variant<Value, OtherValue> value;
  std::string where;  // "config.toml:12"
};

// Tables in `table_names` are taken apart, any other table is one OtherValue. nullopt: there is no such file. Throws
// Error(usage): cannot be read, is a directory or over 1 MiB, is no TOML, holds a NUL, nests too deeply.
std::optional<std::vector<FileValue>> read_toml_file(const std::filesystem::path& path,
                                                     const std::vector<std::string>& table_names);

}  // namespace step1x::config
