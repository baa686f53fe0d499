// The settings of a user: built-in defaults, then the configuration file, then the environment; flags come on top in
// cmd/step1x. One table of keys (config.cpp) is what the reader, the environment, `step1x config show` and
// step1x.toml(5) go by. Not thread-safe, read once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.hpp"
#include "request/parameters.hpp"

namespace step1x::config {

struct Settings {
  std::string model;  // empty: none set
  // Parameters of a job that are set, as they are written (lib/request/parameters.hpp).
  request::Json job = request::Json::object();
  Duration timeout = kNever;
  Duration offload_delay{0};
  Duration idle_timeout = std::chrono::seconds(60);
  Duration host_timeout = std::chrono::minutes(10);
  Duration exit_timeout = std::chrono::minutes(30);
  bool auto_monitor = true;
  std::string runtime_dir;  // empty: the default of ipc/directory.hpp
  bool metadata = true;
  bool strip = false;
  std::int64_t max_pixels = 64'000'000;
  std::int64_t max_side = 30'000;
  std::int64_t max_file_bytes = 1LL << 30;
  std::int64_t quality = 0;                   // 1 to 100; 0: as the format has it (image/encode.hpp)
  std::map<std::string, std::string> models;  // [models]: name -> folder
};

// One key as a user sees it.
struct Key {
  std::string_view name;    // "idle_timeout"
  std::string environment;  // "STEP1X_IDLE_TIMEOUT"
  std::string_view alias;   // "GPU_IDLE_TIMEOUT": below `environment`, above the file; may be empty
  std::string_view type;    // "duration", "integer", "number", "string", "boolean", "path"
  std::string_view help;    // one line
};
const std::vector<Key>& keys();

struct Entry {
  std::string key;
  std::string value;   // as it would be written in the file
  std::string source;  // "default", "file", or the environment variable's name
};

struct Loaded {
  Settings settings;
  std::filesystem::path file;  // where the file is, or would be
  bool file_exists = false;
  std::vector<Entry> entries;  // every key, in the table's order, then models.NAME
};

// `file`: the --config flag. Throws Error(usage): unknown key (with file, line and the nearest known key), wrong type
// or value (with line or variable), unreadable file, a --config or STEP1X_CONFIG file that does not exist.
Loaded load(const std::optional<std::filesystem::path>& file);

}  // namespace step1x::config
