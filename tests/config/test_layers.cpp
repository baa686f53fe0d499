#include <doctest/doctest.h>

#include "base/process.hpp"
#include "config/scene.hpp"

using namespace step1x;
using namespace step1x::config;
using namespace std::chrono_literals;

TEST_CASE("with neither file nor environment the defaults hold") {
  const Scene scene;
  const Loaded loaded = load(std::nullopt);
  CHECK(!loaded.file_exists);
  CHECK(loaded.file == scene.default_file());
  CHECK(loaded.settings.job.empty());
  CHECK(loaded.entries.size() == keys().size());
  for (const Entry& e : loaded.entries) CHECK(e.source == "default");
}

TEST_CASE("default < file < alias < environment") {
  Scene scene;
  CHECK(entry(load(std::nullopt), "idle_timeout") == "default \"1m\"");
  scene.write_default("idle_timeout = \"2m\"\n");
  CHECK(entry(load(std::nullopt), "idle_timeout") == "file \"2m\"");
  scene.set("GPU_IDLE_TIMEOUT", "180");
  CHECK(entry(load(std::nullopt), "idle_timeout") == "GPU_IDLE_TIMEOUT \"3m\"");
  scene.set("STEP1X_IDLE_TIMEOUT", "4m");
  CHECK(entry(load(std::nullopt), "idle_timeout") == "STEP1X_IDLE_TIMEOUT \"4m\"");
  CHECK(load(std::nullopt).settings.idle_timeout == 4min);
}

TEST_CASE("MODEL_PATH is the model when STEP1X_MODEL is not set") {
  Scene scene;
  scene.set("MODEL_PATH", "/models/a");
  CHECK(load(std::nullopt).settings.model == "/models/a");
  scene.set("STEP1X_MODEL", "/models/b");
  CHECK(load(std::nullopt).settings.model == "/models/b");
}

TEST_CASE("every key can be set by its environment variable, and by its line in the file") {
  // The type says which text is a value.
  const auto sample = [](const Key& key) -> std::string {
    const request::Parameter* parameter = request::find(key.name);
    if (parameter != nullptr && parameter->type == request::Type::word) return std::string(parameter->words.back());
    if (parameter != nullptr && parameter->type == request::Type::signed_size) return "17";
    if (key.type == "integer" || key.type == "number") return "17";
    if (key.type == "boolean") return "false";
    if (key.type == "duration") return "17s";
    return "/17";
  };
  for (const Key& key : keys()) {
    CAPTURE(key.name);
    const bool text = key.type == "string" || key.type == "path" || key.type == "duration";
    const std::string written = text ? '"' + sample(key) + '"' : sample(key);
    Scene scene;
    scene.write_default(std::string(key.name) + " = " + written + "\n");
    CHECK(entry(load(std::nullopt), std::string(key.name)) == "file " + written);
    std::filesystem::remove(scene.default_file());
    scene.set(std::string(key.environment), sample(key));
    CHECK(entry(load(std::nullopt), std::string(key.name)) == std::string(key.environment) + " " + written);
  }
}

TEST_CASE("an empty variable counts as not set") {
  Scene scene;
  scene.write_default("steps = 5\nidle_timeout = 7\n");
  for (const Key& key : keys()) {
    scene.set(std::string(key.environment), "");
    if (!key.alias.empty()) scene.set(std::string(key.alias), "");
  }
  scene.set("STEP1X_CONFIG", "");
  scene.set("XDG_CONFIG_HOME", "");
  const Settings settings = load(std::nullopt).settings;
  CHECK(settings.job["steps"] == 5);
  CHECK(settings.idle_timeout == 7s);
}

TEST_CASE("the file is --config, else STEP1X_CONFIG, else below XDG_CONFIG_HOME, else below HOME") {
  Scene scene;
  const test::TempDir other;
  const auto flag = other.write("flag.toml", "steps = 1");
  scene.write_default("steps = 4");
  CHECK(load(std::nullopt).settings.job["steps"] == 4);
  other.write("step1x/config.toml", "steps = 3");
  scene.set("XDG_CONFIG_HOME", other.path().string());
  CHECK(load(std::nullopt).settings.job["steps"] == 3);
  scene.set("STEP1X_CONFIG", other.write("variable.toml", "steps = 2").string());
  CHECK(load(std::nullopt).settings.job["steps"] == 2);
  CHECK(load(flag).settings.job["steps"] == 1);
  CHECK(load(flag).file == flag);
}

TEST_CASE("a relative XDG_CONFIG_HOME is ignored") {
  Scene scene;
  scene.set("XDG_CONFIG_HOME", "somewhere");
  CHECK(load(std::nullopt).file == scene.default_file());
}

TEST_CASE("without HOME the home of the user database counts") {
  Scene scene;
  scene.unset("HOME");
  CHECK(load("/dev/null").file == "/dev/null");
  // The developer's own file, if there is one, may hold anything.
  scene.set("STEP1X_CONFIG", "/dev/null");
  CHECK(load(std::nullopt).settings.job.empty());
  scene.unset("STEP1X_CONFIG");
  if (std::filesystem::exists(home_directory() + "/.config/step1x/config.toml")) return;
  CHECK(load(std::nullopt).file == std::filesystem::path(home_directory()) / ".config/step1x/config.toml");
}

TEST_CASE("a relative --config is shown with its whole path") {
  const Scene scene;
  const test::TempDir folder;
  folder.write("my.toml", "steps = 9");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  const Loaded loaded = load("my.toml");
  std::filesystem::current_path(before);
  CHECK(loaded.settings.job["steps"] == 9);
  CHECK(loaded.file == folder.path() / "my.toml");
}

TEST_CASE("models are listed after the keys") {
  const Scene scene;
  scene.write_default("[models]\nslow = '/m/slow'\nfast = '/m/fast'\n");
  const Loaded loaded = load(std::nullopt);
  REQUIRE(loaded.entries.size() == keys().size() + 2);
  CHECK(loaded.entries[keys().size()].key == "models.fast");
  CHECK(entry(loaded, "models.slow") == "file \"/m/slow\"");
  CHECK(loaded.settings.models.at("fast") == "/m/fast");
}
