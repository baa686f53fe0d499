#include <doctest/doctest.h>

#include "config/config.hpp"
#include "config/nearest.hpp"
#include "config/variables.hpp"

using namespace step1x::config;

TEST_CASE("the distance counts letters that are missing, too many, wrong, or exchanged with their neighbour") {
  CHECK(distance("edit", "edit") == 0);
  CHECK(distance("edt", "edit") == 1);
  CHECK(distance("eddit", "edit") == 1);
  CHECK(distance("edat", "edit") == 1);
  CHECK(distance("eidt", "edit") == 1);
  CHECK(distance("statsu", "status") == 1);
  CHECK(distance("", "edit") == 4);
  CHECK(distance("edit", "") == 4);
  CHECK(distance("kitten", "sitting") == 3);
}

TEST_CASE("both cases are one, and so are the two lines between words") {
  CHECK(distance("MAX_VRAM", "max-vram") == 0);
}

TEST_CASE("what may be meant is as near as a third of the word, and the nearest") {
  const std::vector<std::string> known{"status", "stop", "start", "prompt"};
  CHECK(nearest("statsu", known) == 0U);
  CHECK(nearest("strat", known) == 2U);
  CHECK(nearest("promt", known) == 3U);
  CHECK_FALSE(nearest("stxyop", {"stopped"}));
  CHECK_FALSE(nearest("ab", {"ac"}));
  CHECK_FALSE(nearest("colour", known));
  CHECK_FALSE(nearest(std::string(1000, 'a'), {std::string(1000, 'a')}));
}

TEST_CASE("every setting's variable is known, and one that is none has the nearest of them") {
  std::vector<std::string> environment{"PATH=/bin", "STEP1XX=1", "STEP1X_CONFIG=/dev/null", "GPU_IDLE_TIMEOUT=3"};
  for (const Key& key : keys()) environment.push_back(key.environment + "=1");
  CHECK(unknown_variables(environment).empty());
  const auto unknown = unknown_variables({"STEP1X_STPES=3", "STEP1X_COLOUR=red", "STEP1X_=", "STEP1X_TORCHDIR=/x=y"});
  REQUIRE(unknown.size() == 4);
  CHECK(unknown[0].name == "STEP1X_STPES");
  CHECK(unknown[0].near == "STEP1X_STEPS");
  CHECK(unknown[1].near.empty());
  CHECK(unknown[2].name == "STEP1X_");
  CHECK(unknown[2].near.empty());
  CHECK(unknown[3].near == "STEP1X_TORCH_DIR");
}
