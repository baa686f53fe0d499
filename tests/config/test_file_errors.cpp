#include <doctest/doctest.h>
#include <unistd.h>

#include "config/scene.hpp"

using namespace step1x;
using namespace step1x::config;

namespace {

// The error for this text of the default file, without the file's name: ":LINE: what".
std::string error_in(const std::string& text) {
  const Scene scene;
  const std::string file = scene.write_default(text).string();
  const std::string error = error_of();
  return error.starts_with(file) ? error.substr(file.size()) : error;
}

std::string repeated(const std::string& text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

const std::string kTooDeep = "nested more than 64 deep; settings need one table at most";

}  // namespace

TEST_CASE("an unknown key is told with its line and the key that was meant") {
  CHECK(error_in("steps = 5\n\nidle_timeot = 3\n") == ":3: unknown key 'idle_timeot'; did you mean 'idle_timeout'?");
  CHECK(error_in("Steps = 5") == ":1: unknown key 'Steps'; did you mean 'steps'?");
  CHECK(error_in("idle-timeout = 5") == ":1: unknown key 'idle-timeout'; did you mean 'idle_timeout'?");
  CHECK(error_in("frobnicate = 5") == ":1: unknown key 'frobnicate'; step1x.toml(5) lists all keys");
  CHECK(error_in("\n[steps_and_more]\na = 1") == ":2: unknown key 'steps_and_more'; step1x.toml(5) lists all keys");
  CHECK(error_in("\"a\\nb\" = 5") == ":1: unknown key 'a b'; step1x.toml(5) lists all keys");
  CHECK(error_in(repeated("k", 100'000) + " = 1").ends_with("; step1x.toml(5) lists all keys"));
}

TEST_CASE("the first of several errors is told") {
  CHECK(error_in("zebra = 1\naardvark = 2\n").starts_with(":1: unknown key 'zebra'"));
  CHECK(error_in("steps = 0\naardvark = 2\n").starts_with(":1: steps: "));
}

TEST_CASE("a value of another type is told with the type wanted") {
  CHECK(error_in("steps = '28'") == ":1: steps: \"28\" is not an integer from 1 to 1000");
  CHECK(error_in("steps = 28.5") == ":1: steps: 28.5 is not an integer from 1 to 1000");
  CHECK(error_in("guidance = nan") == ":1: guidance: nan is not a number from 0 to 100");
  CHECK(error_in("guidance = true") == ":1: guidance: true is not a number from 0 to 100");
  CHECK(error_in("device = 0") == ":1: device: 0 is not a string");
  CHECK(error_in("auto_monitor = 1") == ":1: auto_monitor: 1 is not true or false");
  CHECK(error_in("timeout = true") == ":1: timeout must be a duration, \"10m\" or a number of seconds, not true");
  CHECK(error_in("timeout = 1e300").starts_with(":1: timeout: '1e+300' is not a duration"));
  CHECK(error_in("timeout = inf").starts_with(":1: timeout: 'inf' is not a duration"));
  CHECK(error_in("host_timeout = '10x'").starts_with(":1: host_timeout: '10x' is not a duration"));
  CHECK(error_in("steps = [1, 2]") == ":1: steps must be one value, but this is an array");
  CHECK(error_in("\n[steps]\na = 1") == ":2: steps must be one value, but this is a table");
  CHECK(error_in("timeout = 2026-01-01") == ":1: timeout must be one value, but this is a date or time");
  CHECK(error_in("idle_timeout.a = 1") == ":1: idle_timeout must be one value, but this is a table");
}

TEST_CASE("models are names with folders") {
  const std::string models = "models must be a table: [models], then lines NAME = \"FOLDER\"";
  CHECK(error_in("models = 'x'") == ":1: " + models);
  CHECK(error_in("models = ['x']") == ":1: " + models);
  CHECK(error_in("[[models]]\na = 'x'") == ":1: " + models);
  CHECK(error_in("[models]\na = 1") == ":2: models.a must be the folder of a model, in quotes");
  CHECK(error_in("[models]\na = ''") == ":2: models.a must be the folder of a model, in quotes");
  CHECK(error_in("[models]\n'' = 'x'") == ":2: models. must be the folder of a model, in quotes");
  CHECK(error_in("[models.a]\nb = 'x'") == ":1: models.a must be one value, but this is a table");
}

TEST_CASE("what is no TOML is told with its line") {
  CHECK(error_in("steps = 5\nsteps = 6\n").starts_with(":2: "));
  CHECK(error_in("steps = 5\nsize 3\n").starts_with(":2: "));
  CHECK(error_in("device = \"auto\n").starts_with(":1: "));
  CHECK(error_in("\n\n[models\n").starts_with(":3: "));
  CHECK(error_in("device = \"\xff\xfe\"\n").starts_with(":1: "));
  CHECK(error_in("device = \"\xed\xa0\x80\"\n").starts_with(":1: "));
}

TEST_CASE("no NUL comes in, neither as a byte nor as an escape") {
  CHECK(error_in(std::string("steps = 5\nsize = 1\0", 19)) == ":2: a NUL byte; a configuration file is UTF-8 text");
  CHECK(error_in("model = \"a\\u0000b\"") == ":1: model must not hold a NUL");
  CHECK(error_in("[models]\na = \"a\\u0000b\"") == ":2: models.a must be the folder of a model, in quotes");
}

TEST_CASE("text that nests deeper than any setting is refused before it is parsed") {
  for (const char* bomb : {"[", "{", "a=[", "a={b=", "x.", "[a.", "a={x.y."}) {
    CAPTURE(bomb);
    CHECK(error_in(repeated(bomb, 100'000)) == ":1: " + kTooDeep);
  }
  CHECK(error_in("steps = 5\n\na = " + repeated("[\n", 100'000)) == ":67: " + kTooDeep);
  CHECK(error_in("a = {" + repeated("x.", 60) + "y = {" + repeated("x.", 60) + "y = 1}}") == ":1: " + kTooDeep);
  CHECK(error_in("a = \"\"\"x\"\"\"\"\"" + repeated("[", 100'000)) == ":1: " + kTooDeep);
  CHECK(error_in("a = 'x\\'" + repeated("[", 100'000)) == ":1: " + kTooDeep);
  CHECK(error_in("a = \"x" + repeated("\n[", 100'000)).starts_with(":"));
}

TEST_CASE("brackets and dots in strings and comments are text") {
  CHECK(error_in("negative_prompt = \"" + repeated("[.\\\"", 1000) + "\" # " + repeated("{.", 1000)) == "");
  CHECK(error_in("negative_prompt = '" + repeated("[.", 1000) + "'") == "");
  CHECK(error_in("negative_prompt = \"\"\"\n" + repeated("[.\"\n\\\"", 1000) + "\"\"\"\nsteps = 5") == "");
  CHECK(error_in("negative_prompt = '''\n" + repeated("[.'\n\\", 1000) + "'''\nsteps = 5") == "");
}

TEST_CASE("a file of many lines is no bomb") {
  CHECK(error_in("[models]\n" + [] {
          std::string lines;
          for (int i = 0; i < 5000; ++i) lines += "m" + std::to_string(i) + " = './a.b'\n";
          return lines;
        }()) == "");
}

TEST_CASE("a byte order mark and CRLF are fine") {
  const Scene scene;
  scene.write_default("\xef\xbb\xbfsteps = 7\r\nsize = 512\r\n[models]\r\na = '/b'\r\n");
  const Settings settings = load(std::nullopt).settings;
  CHECK(settings.job["steps"] == 7);
  CHECK(settings.job["size"] == 512);
  CHECK(settings.models.at("a") == "/b");
}

TEST_CASE("an empty file sets nothing") {
  const Scene scene;
  scene.write_default("");
  CHECK(load(std::nullopt).file_exists);
  CHECK(load(std::nullopt).settings.job.empty());
}

TEST_CASE("a file that was asked for must be there") {
  Scene scene;
  const std::string missing = (scene.home() / "none.toml").string();
  CHECK(error_of(missing) == "--config: there is no file " + missing);
  scene.set("STEP1X_CONFIG", missing);
  CHECK(error_of() == "STEP1X_CONFIG: there is no file " + missing);
  CHECK(error_of("/dev/null") == "");
}

TEST_CASE("a directory in the place of the file") {
  const Scene scene;
  std::filesystem::create_directories(scene.default_file());
  CHECK(error_of() == "cannot read the configuration file " + scene.default_file().string() + ": Is a directory");
}

TEST_CASE("a default file that may not be read is an error, not the defaults") {
  const Scene scene;
  scene.write_default("steps = 5");
  std::filesystem::permissions(scene.default_file(), std::filesystem::perms::none);
  // Root reads everything, so it becomes nobody for a moment.
  const bool root = ::geteuid() == 0;
  if (root) REQUIRE(::seteuid(65534) == 0);
  const std::string error = error_of();
  if (root) REQUIRE(::seteuid(0) == 0);
  CHECK(error == "cannot read the configuration file " + scene.default_file().string() + ": Permission denied");
}

TEST_CASE("a file over 1 MiB is refused, an endless one too") {
  const Scene scene;
  const std::string line = "# " + std::string(1021, 'x') + "\n";
  const auto file = scene.write_default(repeated(line, 1024));
  CHECK(error_of() == "");
  scene.write_default(repeated(line, 1024) + "\n");
  CHECK(error_of() ==
        "cannot read the configuration file " + file.string() + ": it is larger than 1 MiB; is it the right file?");
  CHECK(error_of("/dev/zero").ends_with("it is larger than 1 MiB; is it the right file?"));
}
