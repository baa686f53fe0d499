#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "runner.hpp"
#include "support/doctest_with_torch.hpp"
#include "support/golden.hpp"
#include "support/temp_dir.hpp"

using namespace step1x::test;
using nlohmann::json;
namespace fs = std::filesystem;

using step1x::test::kGolden;

namespace {

// A folder with one golden case, the rope's, to be spoiled.
struct Folder {
  TempDir dir;
  json manifest;

  Folder() {
    fs::copy(kGolden / "rope.safetensors", dir.path());
    const json all = json::parse(read_file(kGolden / "manifest.json"));
    manifest["cases"]["rope.safetensors"] = all.at("cases").at("rope.safetensors");
  }
  json& rope() { return manifest["cases"]["rope.safetensors"]; }

  bool passes(const std::string& file = "manifest.json") {
    dir.write(file, manifest.dump());
    Runner runner("", false);
    runner.walk(dir.path());
    return runner.finish();
  }
};

}  // namespace

TEST_CASE("golden-check passes a good case, also in a folder below") {
  Folder good;
  CHECK(good.passes());
  Folder below;
  fs::create_directory(below.dir.path() / "deep");
  fs::rename(below.dir.path() / "rope.safetensors", below.dir.path() / "deep/rope.safetensors");
  CHECK(below.passes("deep/manifest.json"));
}

TEST_CASE("golden-check fails where it finds nothing") {
  TempDir empty;
  Runner runner("", false);
  runner.walk(empty.path());
  CHECK_FALSE(runner.finish());
  CHECK_FALSE(Folder().passes("manifest.txt"));
  Runner nowhere("", false);
  nowhere.walk(empty.path() / "none");
  CHECK_FALSE(nowhere.finish());
  Folder half;
  fs::create_directory(half.dir.path() / "empty");
  CHECK_FALSE(half.passes());
}

TEST_CASE("golden-check fails on what it does not know") {
  Folder other;
  other.rope()["case"] = "ropes";
  CHECK_FALSE(other.passes());
  Folder unnamed;
  fs::copy(kGolden / "cfg.safetensors", unnamed.dir.path());
  CHECK_FALSE(unnamed.passes());
  Folder strange;
  strange.manifest = {{"something", 1}};
  CHECK_FALSE(strange.passes());
  Folder broken;
  broken.manifest = "not an object";
  CHECK_FALSE(broken.passes());
}

TEST_CASE("golden-check fails when data are missing or another shape") {
  Folder without;
  fs::remove(without.dir.path() / "rope.safetensors");
  CHECK_FALSE(without.passes());
  Folder tensor;
  tensor.rope()["tensors_present"]["more"] = {"float32", {1}};
  CHECK_FALSE(tensor.passes());
  Folder shape;
  shape.rope()["tensors_present"]["full.ids"] = {"float32", {2, 29, 4}};
  CHECK_FALSE(shape.passes());
  Folder key;
  key.rope().erase("tolerance");
  CHECK_FALSE(key.passes());
}

TEST_CASE("golden-check fails on a number that is off") {
  Folder other;
  other.rope()["config"]["theta"] = 10001;
  CHECK_FALSE(other.passes());
}
