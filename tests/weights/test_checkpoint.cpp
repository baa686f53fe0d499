#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "base/error.hpp"
#include "support/mentions.hpp"
#include "support/temp_dir.hpp"
#include "weights/checkpoint.hpp"
#include "weights/support.hpp"

using namespace step1x;
using step1x::test::file_of;
using step1x::test::mentions;
using step1x::test::TempDir;

namespace {

constexpr std::string_view kIndex =
    R"({"metadata":{"total_size":6},"weight_map":{)"
    R"("a":"model-1.safetensors","b":"model-2.safetensors","c":"model-2.safetensors"}})";

// A folder with an index and its two shards.
std::filesystem::path sharded(const TempDir& dir) {
  dir.write("model-1.safetensors", file_of({"a"}));
  dir.write("model-2.safetensors", file_of({"b", "c", "unlisted"}));
  return dir.write("model.safetensors.index.json", kIndex);
}

// The message of the error that opening `path` gives.
std::string refusal_of(const std::filesystem::path& path) {
  try {
    const Checkpoint checkpoint(path);
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::model_missing);
    return error.what();
  }
}

}  // namespace

TEST_CASE("a single file and shards are read the same way") {
  const TempDir dir;
  const Checkpoint one(dir.write("one.safetensors", file_of({"a", "b", "c"})));
  const Checkpoint shards(sharded(dir));
  CHECK(shards.files().size() == 2);
  for (const Checkpoint* checkpoint : {&one, &shards}) {
    CHECK(checkpoint->tensors().size() == 3);
    for (const std::string name : {"a", "b", "c"}) {
      std::string bytes(2, '\0');
      checkpoint->read(name, std::as_writable_bytes(std::span(bytes)));
      CHECK(bytes == name + "x");
    }
    CHECK(checkpoint->find("unlisted") == nullptr);
  }
}

TEST_CASE("a checkpoint can be moved") {
  const TempDir dir;
  Checkpoint first(sharded(dir));
  const Checkpoint second = std::move(first);
  CHECK(second.at("c").file->path().filename() == "model-2.safetensors");
  CHECK(second.at("c").tensor->name == "c");
}

TEST_CASE("a missing shard is named, with how many there should be") {
  const TempDir dir;
  const auto index = sharded(dir);
  std::filesystem::remove(dir.path() / "model-2.safetensors");
  CHECK(mentions(refusal_of(index), (dir.path() / "model-2.safetensors").string() + ": shard is missing:"));
  CHECK(mentions(refusal_of(index), "names 2 files"));
  std::filesystem::remove(dir.path() / "model-1.safetensors");
  CHECK(mentions(refusal_of(index), "model-1.safetensors: shard is missing (and 1 more)"));
}

TEST_CASE("a damaged shard is named") {
  const TempDir dir;
  const auto index = sharded(dir);
  std::filesystem::resize_file(dir.path() / "model-2.safetensors", 40);
  CHECK(mentions(refusal_of(index), "model-2.safetensors: truncated"));
}

TEST_CASE("a tensor that is not in the shard that the index names") {
  const TempDir dir;
  const auto index = sharded(dir);
  dir.write("model-2.safetensors", file_of({"b"}));
  CHECK(mentions(refusal_of(index), "model-2.safetensors: tensor 'c' is missing"));
}

TEST_CASE("an index that is wrong or leads out of its folder is refused") {
  const TempDir dir;
  sharded(dir);
  const auto with = [&](std::string_view content) {
    return refusal_of(dir.write("bad.safetensors.index.json", content));
  };
  CHECK(mentions(with("{"), "not valid JSON"));
  CHECK(mentions(with("[]"), "not a JSON object"));
  CHECK(mentions(with("{}"), "weight_map"));
  CHECK(mentions(with(R"({"weight_map":{}})"), "weight_map"));
  CHECK(mentions(with(R"({"weight_map":["a"]})"), "weight_map"));
  CHECK(mentions(with(R"({"weight_map":{"a":1}})"), "tensor 'a' is in 1"));
  for (const char* name : {"../model-1.safetensors", "/etc/passwd", "..", ".", "", "x/y", "a\\u0000b"}) {
    CAPTURE(name);
    CHECK(mentions(with(fmt::format(R"({{"weight_map":{{"a":"{}"}}}})", name)), "not the name of a file beside it"));
  }
}

TEST_CASE("an expected shape is compared, and both are shown") {
  const TempDir dir;
  const Checkpoint checkpoint(sharded(dir));
  const std::vector<std::int64_t> good{2};
  const std::vector<std::int64_t> bad{2, 1};
  CHECK(checkpoint.at("b", good).tensor->name == "b");
  CHECK_THROWS_WITH_AS(checkpoint.at("b", bad),
                       doctest::Contains("model-2.safetensors: tensor 'b' has shape [2], expected [2, 1]"), Error);
  CHECK_NOTHROW(checkpoint.expect(std::vector<ExpectedTensor>{{"a", {2}}, {"c", {2}}}));
  CHECK_THROWS_WITH_AS(
      checkpoint.expect(std::vector<ExpectedTensor>{{"a", {2}}, {"x", {7, 8}}, {"y", {}}}),
      doctest::Contains("tensor 'x' of shape [7, 8] is missing (and 1 more): 3 tensors expected, 1 found"), Error);
}

TEST_CASE("a Git LFS pointer is called what it is") {
  const TempDir dir;
  CHECK(mentions(
      refusal_of(dir.write("m.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")),
      "Git LFS pointer"));
}
