#include "config/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.hpp"
#include "base/process.hpp"
#include "config/key_table.hpp"
#include "config/toml_file.hpp"

namespace step1x::config {
namespace {

namespace fs = std::filesystem;

// Empty is as good as unset: `STEP1X_STEPS= step1x ...` is how shells take a variable away.
std::optional<std::string> environment(std::string_view name) {
  const char* value = std::getenv(std::string(name).c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

// $HOME, as users expect of ~ and of ~/.config; cron and `env -i` may have none.
fs::path home() {
  const auto variable = environment("HOME");
  return variable && variable->starts_with('/') ? *variable : home_directory();
}

struct Place {
  fs::path file;
  std::string named_by;  // empty: the default, which need not exist
};

Place find_file(const std::optional<fs::path>& flag) {
  if (flag) return {*flag, "--config"};
  if (const auto variable = environment("STEP1X_CONFIG")) return {*variable, "STEP1X_CONFIG"};
  const auto xdg = environment("XDG_CONFIG_HOME");
  // The XDG specification: a relative path is to be ignored.
  if (xdg && xdg->starts_with('/')) return {fs::path(*xdg) / "step1x/config.toml", ""};
  const fs::path base = home();
  return {base.empty() ? fs::path() : base / ".config/step1x/config.toml", ""};
}

// A path from the file means what it says whatever the current directory is. `model`: a bare word is a model's name,
// and ORGANISATION/NAME, where no such folder is there, one in the hub's cache.
std::string resolve_path(const std::string& text, const fs::path& folder, bool model) {
  if (text.starts_with("~/")) return (home() / text.substr(2)).string();
  if (text.empty() || text.starts_with('/') || text.starts_with("fake:")) return text;
  const auto slashes = std::ranges::count(text, '/');
  std::error_code ignored;
  if (model && (slashes == 0 || (slashes == 1 && !text.starts_with('.') && !fs::exists(folder / text, ignored))))
    return text;
  return (folder / text).lexically_normal().string();
}

// As a key in the file: bare where TOML allows it.
std::string written_name(const std::string& name) {
  const auto bare = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return std::ranges::all_of(name, bare) ? name : in_quotes(name);
}

class Reader {
 public:
  explicit Reader(Loaded& loaded) : loaded_(loaded) {
    for (const Key& key : keys()) sources_[key.name] = "default";
  }

  void read_file(const Place& place) {
    if (place.file.empty()) return;
    const auto values = read_toml_file(place.file, {"models"});
    if (!values && place.named_by.empty()) return;
    if (!values) {
      throw Error::format(ErrorCode::usage, "{}: there is no file {}", place.named_by, place.file.string());
    }
    loaded_.file_exists = true;
    for (const FileValue& value : *values) read_value(value);
  }

  void read_environment() {
    for (const Key& key : keys()) {
      for (const std::string_view name : {std::string_view(key.environment), key.alias}) {
        const auto text = name.empty() ? std::nullopt : environment(name);
        if (!text) continue;
        apply(key, value_of_text(key, key.type == "path" ? resolve_home(*text) : *text), name, loaded_.settings);
        sources_[key.name] = name;
        break;
      }
    }
  }

  void list_entries() {
    for (const Key& key : keys()) {
      loaded_.entries.push_back(
          {std::string(key.name), written(key, loaded_.settings), std::string(sources_[key.name])});
    }
    for (const auto& [name, folder] : loaded_.settings.models) {
      loaded_.entries.push_back({"models." + written_name(name), in_quotes(folder), "file"});
    }
  }

 private:
  void read_value(const FileValue& item) {
    const Key* key = item.table.empty() ? find_key(item.key) : nullptr;
    if (item.table.empty() && key == nullptr && item.key != "models") {
      throw Error::format(ErrorCode::usage, "{}: unknown key '{}'{}", item.where, one_line(item.key),
                          suggestion(item.key));
    }
    if (item.table.empty() && key == nullptr)
      throw Error::format(ErrorCode::usage, "{}: models must be a table: [models], then lines NAME = \"FOLDER\"",
                          item.where);
    if (const auto* other = std::get_if<OtherValue>(&item.value)) {
      throw Error::format(ErrorCode::usage, "{}: {} must be one value, but this is {}", item.where, name_of(item),
                          other->type);
    }
    const Value& value = std::get<Value>(item.value);
    const fs::path folder = loaded_.file.parent_path();
    if (key != nullptr) {
      const auto* text = std::get_if<std::string>(&value);
      const bool is_path = key->type == "path" && text != nullptr;
      apply(*key, is_path ? Value(resolve_path(*text, folder, key->name == "model")) : value, item.where,
            loaded_.settings);
      sources_[key->name] = "file";
      return;
    }
    const auto* text = std::get_if<std::string>(&value);
    if (item.key.empty() || text == nullptr || text->empty() || text->find('\0') != std::string::npos) {
      throw Error::format(ErrorCode::usage, "{}: {} must be the folder of a model, in quotes", item.where,
                          name_of(item));
    }
    loaded_.settings.models[item.key] = resolve_path(*text, folder, false);
  }

  static std::string name_of(const FileValue& item) {
    return one_line(item.table.empty() ? item.key : item.table + '.' + item.key);
  }
  static std::string resolve_home(const std::string& text) {
    return text.starts_with("~/") ? resolve_path(text, {}, true) : text;
  }

  Loaded& loaded_;
  std::map<std::string_view, std::string_view> sources_;
};

}  // namespace

Loaded load(const std::optional<std::filesystem::path>& file) {
  const Place place = find_file(file);
  Loaded loaded;
  if (!place.file.empty()) loaded.file = fs::absolute(place.file);
  Reader reader(loaded);
  reader.read_file(place);
  reader.read_environment();
  reader.list_entries();
  return loaded;
}

}  // namespace step1x::config
