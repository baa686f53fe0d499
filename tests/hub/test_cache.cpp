#include <doctest/doctest.h>

#include <map>
#include <string>

#include "base/error.hpp"
#include "hub/cache.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;
using step1x::test::TempDir;
namespace fs = std::filesystem;

namespace {

const std::string kCommit = "752c0bc28a43f56249f588432a5964f1878c01ff";

EnvironmentLookup environment(std::map<std::string, std::string> variables) {
  return [variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

std::string folder(std::map<std::string, std::string> variables) {
  return hub_cache_folder(environment(std::move(variables))).string();
}

// A cache as the hub's library leaves it: a blob, and a link to it in a snapshot.
void write_model(const TempDir& dir, const std::string& repository) {
  dir.write(repository + "/blobs/0123", "content");
  dir.write(repository + "/refs/main", kCommit);
  fs::create_directories(dir.path() / repository / "snapshots" / kCommit);
  fs::create_symlink("../../blobs/0123", dir.path() / repository / "snapshots" / kCommit / "vae.safetensors");
}

}  // namespace

TEST_CASE("the cache folder comes from the first variable that is set") {
  std::map<std::string, std::string> all{{"HF_HUB_CACHE", "/a"},
                                         {"HUGGINGFACE_HUB_CACHE", "/b"},
                                         {"HF_HOME", "/c"},
                                         {"XDG_CACHE_HOME", "/d"},
                                         {"HOME", "/e"}};
  CHECK(folder(all) == "/a");
  all.erase("HF_HUB_CACHE");
  CHECK(folder(all) == "/b");
  all.erase("HUGGINGFACE_HUB_CACHE");
  CHECK(folder(all) == "/c/hub");
  all.erase("HF_HOME");
  CHECK(folder(all) == "/d/huggingface/hub");
  all.erase("XDG_CACHE_HOME");
  CHECK(folder(all) == "/e/.cache/huggingface/hub");
  all.erase("HOME");
  CHECK(folder(all).ends_with("/.cache/huggingface/hub"));
}

TEST_CASE("a variable that is set to nothing counts as not set") {
  CHECK(folder({{"HF_HUB_CACHE", ""}, {"HF_HOME", ""}, {"XDG_CACHE_HOME", ""}, {"HOME", "/e"}}) ==
        "/e/.cache/huggingface/hub");
}

TEST_CASE("home and variables are expanded in the cache folder") {
  const auto with = [](const std::string& value) {
    return folder({{"HF_HUB_CACHE", value}, {"HOME", "/home/u"}, {"DATA", "/data"}});
  };
  CHECK(with("~/hub") == "/home/u/hub");
  CHECK(with("~") == "/home/u");
  CHECK(with("$DATA/hub") == "/data/hub");
  CHECK(with("${DATA}x/$DATA") == "/datax//data");
  CHECK(with("/x/$NONE/${NONE}/$/${DATA") == "/x/$NONE/${NONE}/$/${DATA");
  CHECK(with("/x~/y") == "/x~/y");
  CHECK(fs::path(with("relative")).is_absolute());
}

TEST_CASE("names of models are told from paths") {
  for (const char* good : {"stepfun-ai/Step1X-Edit", "gpt2", "a/b_c.d-e"}) CHECK(is_hub_id(good));
  for (const char* bad :
       {"", "/", "a/", "/a", "./a", "../a", "a/b/c", "a b", "a/..", "-a/b", "a/b.", "a--b/c", "a/b\n"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_hub_id(bad));
  }
  CHECK_FALSE(is_hub_id(std::string(97, 'a')));
}

TEST_CASE("a branch leads to its commit's snapshot, and links in it to their files") {
  const TempDir dir;
  write_model(dir, "models--stepfun-ai--Step1X-Edit");
  const fs::path snapshot = find_snapshot(dir.path(), "stepfun-ai/Step1X-Edit");
  CHECK(snapshot == dir.path() / "models--stepfun-ai--Step1X-Edit/snapshots" / kCommit);
  CHECK(test::read_file(snapshot / "vae.safetensors") == "content");
  CHECK(find_snapshot(dir.path(), "stepfun-ai/Step1X-Edit", kCommit) == snapshot);
  dir.write("models--stepfun-ai--Step1X-Edit/refs/refs/pr/1", kCommit + "\n");
  CHECK(find_snapshot(dir.path(), "stepfun-ai/Step1X-Edit", "refs/pr/1") == snapshot);
}

TEST_CASE("a model without organisation is found") {
  const TempDir dir;
  write_model(dir, "models--gpt2");
  CHECK_NOTHROW(find_snapshot(dir.path(), "gpt2"));
}

TEST_CASE("what is not in the cache is named, and how to get it") {
  const TempDir dir;
  write_model(dir, "models--a--b");
  CHECK_THROWS_WITH_AS(find_snapshot(dir.path(), "a/c"), doctest::Contains("a/c is not in the hub cache"), Error);
  CHECK_THROWS_WITH_AS(find_snapshot(dir.path(), "a/b", "v2"), doctest::Contains("revision 'v2' of a/b"), Error);
  CHECK_THROWS_WITH_AS(find_snapshot(dir.path(), "a/b", std::string(40, '0')), doctest::Contains("commit 000"), Error);
  for (const char* damaged : {"", "not a commit", "752c0bc28a43f56249f588432a5964f1878c01ff0",
                              "../../../../../../../../../../../../etc/xx"}) {
    CAPTURE(damaged);
    dir.write("models--a--b/refs/main", damaged);
    CHECK_THROWS_WITH_AS(find_snapshot(dir.path(), "a/b"), doctest::Contains("does not name a commit"), Error);
  }
  dir.write("models--a--b/refs/main", std::string(40, '1'));
  CHECK_THROWS_WITH_AS(find_snapshot(dir.path(), "a/b"), doctest::Contains("is missing; download it"), Error);
}

TEST_CASE("a revision cannot lead out of the cache") {
  const TempDir dir;
  write_model(dir, "models--a--b");
  for (const char* bad : {"", "../refs/main", "x/../main", "/etc/passwd", "."}) {
    CAPTURE(bad);
    CHECK_THROWS_WITH_AS(find_snapshot(dir.path(), "a/b", bad), doctest::Contains("is not a revision"), Error);
  }
  CHECK_THROWS_WITH_AS(find_snapshot(dir.path(), "../b"), doctest::Contains("is not the name of a model"), Error);
}
