#include <doctest/doctest.h>

#include <filesystem>

#include "base/error.hpp"
#include "batch/digest.hpp"
#include "batch/work.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;
using namespace step1x::batch;
namespace fs = std::filesystem;

namespace {

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

struct WorkDone {
  WorkDone() {
    work.item = {"a.jpg", dir.write("a.jpg", "input"), {}};
    work.output = "a.png";
    work.parameters = {{"prompt", "red"}, {"seed", 7}, {"guidance", 6.0}};
    fs::create_directory(folder);
    dir.write("out/a.png", "picture");
  }
  Json line(const std::string& state = "done") const {
    return {{"kind", "item"},
            {"key", "a.jpg"},
            {"state", state},
            {"input", stamp_of(work.item.input).json()},
            {"parameters", work.parameters},
            {"model", "m 1"},
            {"output", work.output},
            {"output_sha256", sha256(bytes("picture"))}};
  }
  Verdict judge(const Json& line) const { return batch::judge(work, folder, "m 1", line); }

  test::TempDir dir;
  fs::path folder = dir.path() / "out";
  Work work;
};

}  // namespace

TEST_CASE("digests are those that everybody computes") {
  CHECK(sha256({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256(bytes("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const test::TempDir dir;
  CHECK(sha256_file(dir.write("large", std::string(3'000'000, 'x'))) == sha256(bytes(std::string(3'000'000, 'x'))));
  CHECK_THROWS_AS(sha256_file(dir.path() / "none"), Error);
}

TEST_CASE("what the journal says and the disk confirms is done") {
  const WorkDone scene;
  CHECK(scene.judge(scene.line()) == Verdict::done);
  // Also after it went through the journal, and when the input was touched and is the same.
  CHECK(scene.judge(*parse_journal_line(journal_line(scene.line()).substr(0, journal_line(scene.line()).size() - 1))) ==
        Verdict::done);
  const Json before = scene.line();
  fs::last_write_time(scene.work.item.input, fs::file_time_type::clock::now() + std::chrono::hours(1));
  CHECK(scene.judge(before) == Verdict::done);
}

TEST_CASE("what is not there, or not as it was, is done again") {
  const WorkDone scene;
  CHECK(scene.judge(nullptr) == Verdict::missing);
  CHECK(judge(scene.work, scene.folder, "m 2", scene.line()) == Verdict::changed);
  for (const auto& [name, value] : {std::pair<const char*, Json>{"prompt", "blue"}, {"seed", 8}, {"new", true}}) {
    CAPTURE(name);
    WorkDone other;
    other.work.parameters[name] = value;
    CHECK(other.judge(scene.line()) == Verdict::changed);
  }
  WorkDone input;
  const Json before = input.line();
  input.dir.write("a.jpg", "another input");
  CHECK(input.judge(before) == Verdict::changed);
  WorkDone picture;
  picture.dir.write("out/a.png", "Picture");
  CHECK(picture.judge(picture.line()) == Verdict::changed);
  fs::remove(picture.folder / "a.png");
  CHECK(picture.judge(picture.line()) == Verdict::missing);
}

TEST_CASE("what has failed stays so until something is changed") {
  WorkDone scene;
  const Json failed = scene.line("failed");
  CHECK(scene.judge(failed) == Verdict::failed);
  scene.work.parameters["prompt"] = "blue";
  CHECK(scene.judge(failed) == Verdict::changed);
}

TEST_CASE("a model is told from another version of itself") {
  const test::TempDir dir;
  dir.write("model.safetensors", "weights");
  const std::string stamp = model_stamp(dir.path());
  CHECK(model_stamp(dir.path()) == stamp);
  dir.write("notes.txt", "x");
  CHECK(model_stamp(dir.path()) == stamp);
  dir.write("model.safetensors", "other weights");
  CHECK(model_stamp(dir.path()) != stamp);
  CHECK(model_stamp("fake:step=1ms") == model_stamp("fake:step=1ms"));
}

TEST_CASE("an item's own seed is always the same, and one that can be given") {
  CHECK(seed_of("a.jpg") == seed_of("a.jpg"));
  CHECK(seed_of("a.jpg") != seed_of("b.jpg"));
  for (const char* key : {"", "a", "b", "photos/IMG_0001.JPG"})
    CHECK((seed_of(key) >= 0 && seed_of(key) <= (1LL << 53)));
}
