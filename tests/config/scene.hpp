// Scene is a user with an empty home and nothing of step1x in the environment. What was there before comes back at its
// end. One at a time.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "config/config.hpp"
#include "support/temp_dir.hpp"

namespace step1x::config {

class Scene {
 public:
  Scene();
  ~Scene();
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  const std::filesystem::path& home() const { return home_.path(); }
  std::filesystem::path default_file() const { return home() / ".config/step1x/config.toml"; }
  // The default file, with this text.
  std::filesystem::path write_default(std::string_view text) const;
  void set(const std::string& name, const std::string& value);
  void unset(const std::string& name);

 private:
  void remember(const std::string& name);

  test::TempDir home_;
  std::map<std::string, std::optional<std::string>> before_;
};

// What load() throws; empty: it does not. Any other exception passes through.
std::string error_of(const std::optional<std::filesystem::path>& file = std::nullopt);
// Where the key's value comes from, and the value, "file 30".
std::string entry(const Loaded& loaded, const std::string& key);

}  // namespace step1x::config
