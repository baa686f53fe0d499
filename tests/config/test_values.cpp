#include <doctest/doctest.h>

#include <limits>

#include "config/scene.hpp"

using namespace step1x;
using namespace step1x::config;
using namespace std::chrono_literals;

TEST_CASE("a duration in the file is a string or a number of seconds") {
  const Scene scene;
  const auto host_timeout = [&scene](const std::string& text) {
    scene.write_default("host_timeout = " + text);
    return load(std::nullopt).settings.host_timeout;
  };
  CHECK(host_timeout("\"10m\"") == 10min);
  CHECK(host_timeout("90") == 90s);
  CHECK(host_timeout("0.25") == 250ms);
  CHECK(host_timeout("0") == 0s);
  CHECK(host_timeout("-1") == kNever);
  CHECK(host_timeout("\"-1\"") == kNever);
}

TEST_CASE("entries are written so that a file with them reads the same") {
  Scene scene;
  scene.write_default(R"(
negative_prompt = "a \"b\" \\ \n \u007f ü"
guidance = 4.25
timeout = -1
offload_delay = "1500ms"
idle_timeout = 0
host_timeout = "90m"
model = "~/m"
[models]
plain-1 = "/a"
"two words" = "/b"
)");
  const Loaded first = load(std::nullopt);
  std::string text;
  for (const Entry& e : first.entries) text += e.key + " = " + e.value + "\n";
  scene.write_default(text);
  const Loaded second = load(std::nullopt);
  for (const Entry& e : first.entries) CHECK(entry(second, e.key) == "file " + e.value);
  CHECK(second.settings.models == first.settings.models);
  CHECK(second.settings.models.at("two words") == "/b");
  CHECK(second.settings.job["negative_prompt"] == "a \"b\" \\ \n \x7f ü");
  CHECK(second.settings.offload_delay == 1500ms);
  CHECK(second.settings.host_timeout == 90min);
}

TEST_CASE("paths of the file hold wherever the command is run") {
  Scene scene;
  scene.write_default(
      "model = './here'\nruntime_dir = 'run'\n[models]\na = 'sub/a'\nb = '~/b'\nc = '/abs/c'\nd = 'd'\n");
  const Settings settings = load(std::nullopt).settings;
  const std::string folder = (scene.home() / ".config/step1x").string();
  CHECK(settings.model == folder + "/here");
  CHECK(settings.runtime_dir == folder + "/run");
  CHECK(settings.models.at("a") == folder + "/sub/a");
  CHECK(settings.models.at("b") == (scene.home() / "b").string());
  CHECK(settings.models.at("c") == "/abs/c");
  CHECK(settings.models.at("d") == folder + "/d");
}

TEST_CASE("a model without a slash is a name") {
  Scene scene;
  scene.write_default("model = 'fast'");
  CHECK(load(std::nullopt).settings.model == "fast");
  scene.write_default("model = 'fake:step=5ms,log=a/b'");
  CHECK(load(std::nullopt).settings.model == "fake:step=5ms,log=a/b");
}

TEST_CASE("a hub id stays one unless a folder of that name lies beside the file") {
  Scene scene;
  const std::filesystem::path folder = scene.home() / ".config/step1x";
  scene.write_default("model = 'stepfun-ai/Step1X-Edit-v1p1-diffusers'");
  CHECK(load(std::nullopt).settings.model == "stepfun-ai/Step1X-Edit-v1p1-diffusers");
  std::filesystem::create_directories(folder / "stepfun-ai/Step1X-Edit-v1p1-diffusers");
  CHECK(load(std::nullopt).settings.model == (folder / "stepfun-ai/Step1X-Edit-v1p1-diffusers").string());
  for (const std::string path : {"./a/b", "../b", "a/b/c", "./b"}) {
    CAPTURE(path);
    scene.write_default("model = '" + path + "'");
    CHECK(load(std::nullopt).settings.model == (folder / path).lexically_normal().string());
  }
}

TEST_CASE("in the environment ~/ is the home, and other relative paths stay for the current directory") {
  Scene scene;
  scene.set("STEP1X_MODEL", "~/m");
  CHECK(load(std::nullopt).settings.model == (scene.home() / "m").string());
  scene.set("STEP1X_MODEL", "here/m");
  CHECK(load(std::nullopt).settings.model == "here/m");
  scene.set("STEP1X_NEGATIVE_PROMPT", "~/ugly");
  CHECK(load(std::nullopt).settings.job["negative_prompt"] == "~/ugly");
}

TEST_CASE("the ends of each range are allowed and the numbers beyond are not") {
  struct Ends {
    const char* key;
    std::int64_t low;
    std::int64_t high;
  };
  const Ends ends[] = {{"size", 16, 4096},      {"steps", 1, 1000},
                       {"guidance", 0, 100},    {"max_pixels", 1, 268'435'456},
                       {"max_side", 1, 65'535}, {"max_file_bytes", 1, 1'000'000'000'000}};
  for (const Ends& e : ends) {
    CAPTURE(e.key);
    const Scene scene;
    for (const std::int64_t good : {e.low, e.high}) {
      scene.write_default(std::string(e.key) + " = " + std::to_string(good));
      CHECK(error_of() == "");
    }
    for (const std::int64_t bad : {e.low - 1, e.high + 1, std::numeric_limits<std::int64_t>::max()}) {
      const auto file = scene.write_default(std::string(e.key) + " = " + std::to_string(bad));
      const std::string error = error_of();
      CHECK(error.starts_with(file.string() + ":1: " + e.key + ": " + std::to_string(bad) + " is not a"));
      CHECK(error.ends_with(" from " + std::to_string(e.low) + " to " + std::to_string(e.high)));
    }
  }
}

TEST_CASE("booleans of the environment are true, false, 1 and 0") {
  Scene scene;
  for (const auto& [text, value] : {std::pair{"true", true}, {"1", true}, {"false", false}, {"0", false}}) {
    scene.set("STEP1X_AUTO_MONITOR", text);
    CHECK(load(std::nullopt).settings.auto_monitor == value);
  }
  scene.set("STEP1X_AUTO_MONITOR", "maybe");
  CHECK(error_of() == "STEP1X_AUTO_MONITOR: auto_monitor: \"maybe\" is not true or false");
}

TEST_CASE("a wrong value of the environment is told with the variable's name") {
  const std::pair<const char*, const char*> cases[] = {{"STEP1X_STEPS", "many"},
                                                       {"STEP1X_STEPS", "28 "},
                                                       {"STEP1X_STEPS", "2e1"},
                                                       {"STEP1X_STEPS", "0"},
                                                       {"STEP1X_STEPS", "99999999999999999999"},
                                                       {"STEP1X_GUIDANCE", "nan"},
                                                       {"STEP1X_GUIDANCE", "inf"},
                                                       {"STEP1X_GUIDANCE", "-0.5"},
                                                       {"STEP1X_TIMEOUT", "10 min"},
                                                       {"GPU_IDLE_TIMEOUT", "soon"}};
  for (const auto& [name, value] : cases) {
    CAPTURE(value);
    Scene scene;
    scene.set(name, value);
    const std::string error = error_of();
    CAPTURE(error);
    CHECK(error.starts_with(std::string(name) + ": "));
    CHECK(error.find(value) != std::string::npos);
  }
}
