#include "config/scene.hpp"

#include <cstdlib>

#include "base/error.hpp"

namespace step1x::config {

Scene::Scene() {
  for (const Key& key : keys()) {
    unset(std::string(key.environment));
    if (!key.alias.empty()) unset(std::string(key.alias));
  }
  unset("STEP1X_CONFIG");
  unset("XDG_CONFIG_HOME");
  set("HOME", home().string());
}

Scene::~Scene() {
  for (const auto& [name, value] : before_) {
    if (value) {
      ::setenv(name.c_str(), value->c_str(), 1);
    } else {
      ::unsetenv(name.c_str());
    }
  }
}

std::filesystem::path Scene::write_default(std::string_view text) const {
  return home_.write(".config/step1x/config.toml", text);
}

void Scene::set(const std::string& name, const std::string& value) {
  remember(name);
  ::setenv(name.c_str(), value.c_str(), 1);
}

void Scene::unset(const std::string& name) {
  remember(name);
  ::unsetenv(name.c_str());
}

void Scene::remember(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  before_.try_emplace(name, value == nullptr ? std::nullopt : std::optional<std::string>(value));
}

std::string error_of(const std::optional<std::filesystem::path>& file) {
  try {
    load(file);
  } catch (const Error& problem) {
    return exit_code(problem.code()) == ExitCode::usage ? problem.what() : "not a usage error";
  }
  return "";
}

std::string entry(const Loaded& loaded, const std::string& key) {
  for (const Entry& e : loaded.entries) {
    if (e.key == key) return e.source + " " + e.value;
  }
  return "no entry";
}

}  // namespace step1x::config
