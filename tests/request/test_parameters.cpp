#include <doctest/doctest.h>

#include <set>

#include "base/error.hpp"
#include "memory/planner.hpp"
#include "request/parameters.hpp"

using namespace step1x;
using namespace step1x::request;

namespace {

Json sent(const char* name, const Json& written) {
  return to_sent(parameter(name), written, "--flag");
}

std::string refused(const char* name, const Json& written) {
  try {
    to_sent(parameter(name), written, "--flag");
  } catch (const Error& problem) {
    CHECK(problem.code() == ErrorCode::usage);
    return problem.what();
  }
  return "taken";
}

Json request_of_all() {
  return {{"prompt", "red"}, {"negative_prompt", ""},
          {"size", 512},     {"steps", 8},
          {"guidance", 4.5}, {"seed", 7},
          {"model", "/m"},   {"device", "auto"},
          {"plan", "auto"},  {"width", 640},
          {"op", "edit"},    {"vae_tiling", false},
          {"timers", {}},    {"max_vram", -1},
          {"wait_gpu", 100}, {"guidance_damping", "off"}};
}

}  // namespace

TEST_CASE("each row is whole: a name of its own, a fallback that it allows itself, a way to be said") {
  std::set<std::string_view> names;
  for (const Parameter& row : parameters()) {
    CAPTURE(row.name);
    CHECK(names.insert(row.name).second);
    CHECK_NOTHROW(to_sent(row, fallback(row), "the fallback"));
    CHECK((row.flags.empty() || !row.help.empty()));
    CHECK((row.value_name.empty() == (row.flags.empty() || row.type == Type::boolean)));
    CHECK((!row.setting || !row.flags.empty()));
    CHECK((row.type != Type::word || !row.words.empty()));
    // A batch judges its pictures by them.
    CHECK((!row.column || row.picture));
  }
}

TEST_CASE("every plan that may be asked for is one that the planner knows") {
  for (const std::string_view plan : parameter("plan").words) {
    CAPTURE(plan);
    CHECK((plan == "auto" || plan_kind(plan)));
  }
}

TEST_CASE("sizes and times are written as people write them and sent as numbers") {
  CHECK(sent("max_vram", "20G") == 20LL << 30);
  CHECK(sent("max_vram", "-2G") == -(2LL << 30));
  CHECK(sent("max_vram", "").is_null());
  CHECK(sent("min_free_vram", "512m") == 512LL << 20);
  CHECK(sent("min_free_vram", 1000) == 1000);
  CHECK(sent("wait_gpu", "10m") == 600'000);
  CHECK(sent("wait_gpu", 1.5) == 1500);
  CHECK(sent("wait_gpu", -1) == parameter("wait_gpu").high);
  CHECK(sent("guidance", 7).is_number_float());
  CHECK(sent("steps", nullptr).is_null());
}

TEST_CASE("what is wrong is told with the value and with what there may be") {
  CHECK(refused("size", 8) == "--flag: 8 is not an integer from 16 to 4096");
  CHECK(refused("size", 512.5) == "--flag: 512.5 is not an integer from 16 to 4096");
  CHECK(refused("steps", UINT64_MAX).find("is not an integer from 1 to 1000") != std::string::npos);
  CHECK(refused("seed", (1LL << 53) + 1) == "--flag: 9007199254740993 is not an integer from 0 to 9007199254740992");
  CHECK(refused("guidance", "much") == "--flag: \"much\" is not a number from 0 to 100");
  CHECK(refused("guidance", std::numeric_limits<double>::quiet_NaN()) == "--flag: nan is not a number from 0 to 100");
  CHECK(refused("guidance_damping", "late") == "--flag: \"late\" is not one of all, early, off");
  CHECK(refused("vae_tiling", 1) == "--flag: 1 is not true or false");
  CHECK(refused("prompt", 7) == "--flag: 7 is not a string");
  CHECK(refused("prompt", "gr\xfcn") == "--flag: not valid UTF-8");
  CHECK(refused("prompt", std::string(65'537, 'x')) == "--flag: 65537 bytes long, at most 65536 are allowed");
  CHECK(refused("max_vram", "lots").find("--flag") == 0);
}

TEST_CASE("the text of a variable or a cell becomes what the parameter is, or stays text") {
  CHECK(value_of_text(parameter("steps"), "8") == 8);
  CHECK(value_of_text(parameter("steps"), " 8 ") == " 8 ");
  CHECK(value_of_text(parameter("steps"), "8.0") == "8.0");
  CHECK(value_of_text(parameter("steps"), "") == "");
  CHECK(value_of_text(parameter("guidance"), "4.5") == 4.5);
  CHECK(value_of_text(parameter("vae_tiling"), "true") == true);
  CHECK(value_of_text(parameter("vae_tiling"), "0") == false);
  CHECK(value_of_text(parameter("vae_tiling"), "yes") == "yes");
  CHECK(value_of_text(parameter("prompt"), " 8 ") == " 8 ");
}

TEST_CASE("what decides the picture is in the order of old stamps, and a default leaves no trace") {
  const OrderedJson picture = picture_parameters(request_of_all(), true);
  CHECK(
      picture.dump() ==
      R"({"prompt":"red","negative_prompt":"","size":512,"steps":8,"guidance":4.5,"seed":7,"guidance_damping":"off"})");
  CHECK(!picture_parameters(request_of_all(), false).contains("size"));
  Json tiled = request_of_all();
  tiled["vae_tiling"] = true;
  CHECK(picture_parameters(tiled, true)["vae_tiling"] == true);
  const OrderedJson all = all_parameters(tiled, true);
  CHECK(all.contains("device"));
  CHECK(all["max_vram"] == -1);
  CHECK((!all.contains("plan") && !all.contains("width") && !all.contains("timers")));
  const Json rest = without_picture(tiled);
  CHECK(
      (rest.contains("model") && rest.contains("timers") && !rest.contains("prompt") && !rest.contains("vae_tiling")));
}

TEST_CASE("a stamp of an older program that holds a default is that of the same picture") {
  const OrderedJson old = {{"prompt", "red"}, {"vae_tiling", false}, {"something_new", 1}};
  CHECK(without_defaults(old).dump() == R"({"prompt":"red","something_new":1})");
  const OrderedJson tiled = {{"prompt", "red"}, {"vae_tiling", true}};
  CHECK(without_defaults(tiled) == tiled);
}

TEST_CASE("setting a parameter to its default takes it away, but not one that is always sent") {
  Json request = Json::object();
  set(request, parameter("plan"), "stream");
  set(request, parameter("device"), "auto");
  CHECK(request == Json{{"plan", "stream"}, {"device", "auto"}});
  set(request, parameter("plan"), "auto");
  set(request, parameter("device"), nullptr);
  CHECK(request.empty());
}
