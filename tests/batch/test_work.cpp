#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <stop_token>

#include "base/error.hpp"
#include "batch/digest.hpp"
#include "batch/times.hpp"
#include "batch/work.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;
using namespace step1x::batch;
namespace fs = std::filesystem;

namespace {

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// A whole picture: one grey pixel, as PNG.
const std::string kPicture(
    "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9c"
    "ch\0\0\0\x82\0\x81w\xcdr\xb6\0\0\0\0IEND\xae"
    "B`\x82",
    67);

struct WorkDone {
  WorkDone() {
    work.item = {"a.jpg", dir.write("a.jpg", kPicture), {}};
    work.output = "a.png";
    work.parameters = {{"prompt", "red"}, {"seed", 7}, {"guidance", 6.0}};
    fs::create_directory(folder);
    dir.write("out/a.png", "picture");
  }
  Json line(const std::string& state = "done") const {
    return {{"kind", "item"},
            {"key", "a.jpg"},
            {"state", state},
            {"input", stamp_of(image::read_picture_file(work.item.input, 1 << 20)).json()},
            {"parameters", work.parameters},
            {"model", "m 1"},
            {"output", work.output},
            {"output_sha256", sha256(bytes("picture"))}};
  }
  Verdict judge(const Json& line, const std::string& model = "m 1") const {
    return batch::judge(work, {folder, {model}, {}}, line, Made(JournalView::read(folder), folder));
  }

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
  CHECK(scene.judge(scene.line(), "m 2") == Verdict::changed);
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

TEST_CASE("what has failed by its own fault stays so until something is changed") {
  WorkDone scene;
  Json failed = scene.line("failed");
  failed["error"] = {{"code", "bad_image"}, {"message", "it is text"}};
  CHECK(scene.judge(failed) == Verdict::failed);
  scene.work.parameters["prompt"] = "blue";
  CHECK(scene.judge(failed) == Verdict::changed);
}

TEST_CASE("what has failed by the machine's fault, or somebody's, is done again") {
  const WorkDone scene;
  for (const char* code : {"failure", "timeout", "cancelled", "out_of_memory", "engine_died", "worker_failed", "?"}) {
    CAPTURE(code);
    Json failed = scene.line("failed");
    failed["error"] = {{"code", code}, {"message", "no room"}};
    CHECK(scene.judge(failed) == Verdict::missing);
  }
}

TEST_CASE(
    "a picture that somebody has made another whole one of is kept, whatever else has changed; a damaged one is not") {
  WorkDone scene;
  scene.dir.write("out/a.png", kPicture);
  CHECK(scene.judge(scene.line()) == Verdict::retouched);
  CHECK(scene.judge(scene.line(), "m 2") == Verdict::retouched);
  CHECK_FALSE(wants(Verdict::retouched, {.failed = true}));
  CHECK(wants(Verdict::retouched, {.all = true}));
  scene.dir.write("out/a.png", kPicture.substr(0, 30));
  CHECK(scene.judge(scene.line()) == Verdict::changed);
  Json sized = scene.line();
  sized["output_sha256"] = sha256(bytes(kPicture.substr(0, 30)));
  sized["output_bytes"] = 30;
  CHECK(scene.judge(sized) == Verdict::done);
  sized["output_bytes"] = 31;
  CHECK(scene.judge(sized) == Verdict::changed);
}

TEST_CASE("whose work a picture is follows from all that was written at its place, whatever the newest line says") {
  WorkDone scene;
  Json failed = scene.line("failed");
  failed["error"] = {{"code", "bad_image"}, {"message", "it is text"}};
  Json elsewhere = scene.line();
  elsewhere["output"] = "a.webp";
  Json other = scene.line();
  other["output_sha256"] = sha256(bytes("what this one has become"));
  Journal::open(scene.folder, {}).append(scene.line());
  for (const Json& line : {failed, elsewhere, other, Json()}) {
    CAPTURE(line.dump());
    scene.dir.write("out/a.png", kPicture);
    CHECK(scene.judge(line) == Verdict::retouched);
    scene.dir.write("out/a.png", kPicture.substr(0, 30));
    CHECK(scene.judge(line) != Verdict::retouched);
    // What a batch wrote there, for whichever item.
    scene.dir.write("out/a.png", "picture");
    CHECK(scene.judge(line) == (line == failed   ? Verdict::failed
                                : line.is_null() ? Verdict::missing
                                                 : Verdict::changed));
  }
  Json whole = scene.line();
  whole["key"] = "another.jpg";
  whole["output_sha256"] = sha256(bytes(kPicture));
  Journal::open(scene.folder, {}).append(whole);
  scene.dir.write("out/a.png", kPicture);
  CHECK(scene.judge(scene.line()) == Verdict::changed);
  // A file that no batch has written there is none's picture.
  scene.work.output = "b.png";
  scene.dir.write("out/b.png", kPicture);
  CHECK(scene.judge(nullptr) == Verdict::missing);
  CHECK(scene.judge(elsewhere) == Verdict::changed);
}

TEST_CASE("one place is one picture, by whichever way it is named") {
  WorkDone scene;
  Json line = scene.line();
  fs::create_symlink(scene.folder, scene.folder / "link");
  scene.work.output = "link/a.png";
  CHECK(scene.judge(line) == Verdict::done);
  line["output"] = "./a.png";
  CHECK(scene.judge(line) == Verdict::done);
}

TEST_CASE("what seems to be to do is told without reading files") {
  WorkDone scene;
  const auto seems = [&](const Json& line, const Again& again = {}) {
    return seems_to_do(scene.work, {scene.folder, {"m 1"}, {}}, line, again);
  };
  Json failed = scene.line("failed");
  failed["error"] = {{"code", "bad_image"}, {"message", "it is text"}};
  CHECK_FALSE(seems(scene.line(), {.failed = true}));
  CHECK(seems(scene.line(), {.all = true}));
  CHECK_FALSE(seems(failed));
  CHECK(seems(failed, {.failed = true}));
  failed["error"]["code"] = "timeout";
  CHECK(seems(failed));
  const Json before = scene.line();
  scene.work.parameters["prompt"] = "blue";
  CHECK(seems(before));
  CHECK_FALSE(seems(scene.line()));
  fs::remove(scene.folder / "a.png");
  CHECK(seems(scene.line()));
  scene.dir.write("out/a.png", "picture");
  const Json older = scene.line();
  fs::last_write_time(scene.work.item.input, fs::file_time_type::clock::now() + std::chrono::hours(1));
  CHECK(seems(older));
}

TEST_CASE(
    "an input is the same by size and time, else by its contents; one that was not read is the same by both alone") {
  const test::TempDir dir;
  const fs::path file = dir.write("a.png", kPicture);
  const Json read = stamp_of(image::read_picture_file(file, 1 << 20)).json();
  const Json unread = stamp_unread(file).json();
  CHECK(is_same_file(file, read, {}));
  CHECK(is_same_file(file, unread, {}));
  // Of another time, and of the same size.
  fs::last_write_time(file, fs::file_time_type::clock::now() + std::chrono::hours(1));
  CHECK(is_same_file(file, read, {}));
  CHECK_FALSE(is_same_file(file, read, {.most_bytes = 10}));
  CHECK_FALSE(is_same_file(file, unread, {}));
  std::string other(kPicture);
  other.back() = 'x';
  dir.write("a.png", other);
  fs::last_write_time(file, fs::file_time_type::clock::now() + std::chrono::hours(2));
  CHECK_FALSE(is_same_file(file, read, {}));
  std::stop_source stop;
  stop.request_stop();
  CHECK_THROWS_AS(is_same_file(file, read, {.stop = stop.get_token()}), Error);
}

TEST_CASE("times of journals are in order, also with those of older ones, which have no part of a second") {
  CHECK(time_text(1'764'412'530'250'000'000) == "2025-11-29T10:35:30.250Z");
  CHECK(is_earlier("2025-11-29T10:35:30Z", "2025-11-29T10:35:30.250Z"));
  CHECK_FALSE(is_earlier("2025-11-29T10:35:30.250Z", "2025-11-29T10:35:30Z"));
  CHECK(is_earlier("2025-11-29T10:35:30.250Z", "2025-11-29T10:35:31Z"));
  CHECK_FALSE(is_earlier("2025-11-29T10:35:30.250Z", "2025-11-29T10:35:30.250Z"));
}

TEST_CASE("a model is told from another version of itself") {
  const test::TempDir dir;
  dir.write("model.safetensors", "weights");
  const std::string stamp = model_stamp(dir.path()).text;
  CHECK(model_stamp(dir.path()).text == stamp);
  dir.write("notes.txt", "x");
  CHECK(model_stamp(dir.path()).text == stamp);
  dir.write("model.safetensors", "other weights");
  const std::string other = model_stamp(dir.path()).text;
  CHECK(other != stamp);
  dir.write("transformer/config.json", "{}");
  CHECK(model_stamp(dir.path()).text != other);
  CHECK(model_stamp("fake:step=1ms").text == model_stamp("fake:step=1ms").text);
}

TEST_CASE("a model that is named by its file is another one when the file is, and what belongs to it") {
  const test::TempDir dir;
  const std::string file = dir.write("step1x-edit-i1258.safetensors", "weights");
  dir.write("vae.safetensors", "vae");
  dir.write("Qwen2.5-VL-7B-Instruct/model.safetensors", "encoder");
  dir.write("Qwen2.5-VL-7B-Instruct/config.json", R"({"model_type":"qwen2_5_vl"})");
  dir.write("Qwen2.5-VL-7B-Instruct/tokenizer.json", "{}");
  std::string before = model_stamp(file).text;
  dir.write("a film beside it.json", "x");
  CHECK(model_stamp(file).text == before);
  for (const char* name : {"step1x-edit-i1258.safetensors", "vae.safetensors",
                           "Qwen2.5-VL-7B-Instruct/model.safetensors", "Qwen2.5-VL-7B-Instruct/tokenizer.json"}) {
    CAPTURE(name);
    dir.write(name, "others");
    const std::string now = model_stamp(file).text;
    CHECK(now != before);
    before = now;
  }
}

TEST_CASE("a journal that did not look at the files of such a model holds for pictures younger than all of them") {
  const test::TempDir dir;
  const std::string file = dir.write("model.safetensors", "weights");
  const ModelStamp stamp = model_stamp(file);
  const Json line = {{"model", file + " cbf29ce484222325"}, {"time", "2100-01-01T00:00:00Z"}};
  CHECK(is_same_model(line, stamp));
  Json old = line;
  old["time"] = "2020-01-01T00:00:00Z";
  CHECK_FALSE(is_same_model(old, stamp));
  Json other = line;
  other["model"] = file + "x cbf29ce484222325";
  CHECK_FALSE(is_same_model(other, stamp));
  CHECK_FALSE(is_same_model({{"model", dir.path().string() + " cbf29ce484222325"}}, model_stamp(dir.path())));
}

TEST_CASE("a model's folder that cannot be read is told, and not taken for unchanged") {
  const test::TempDir dir;
  dir.write("sub/model.safetensors", "weights");
  fs::permissions(dir.path(), fs::perms::others_read | fs::perms::others_exec, fs::perm_options::add);
  fs::permissions(dir.path() / "sub", fs::perms::none);
  // Root reads everything.
  const uid_t user = ::geteuid();
  constexpr uid_t kNobody = 65534;
  if (user == 0) REQUIRE(::seteuid(kNobody) == 0);
  CHECK_THROWS_WITH_AS(model_stamp(dir.path()), doctest::Contains("cannot read the model folder"), Error);
  if (user == 0) REQUIRE(::seteuid(user) == 0);
  fs::permissions(dir.path() / "sub", fs::perms::owner_all);
}

TEST_CASE("an item's own seed is always the same, and one that can be given") {
  CHECK(seed_of("a.jpg") == seed_of("a.jpg"));
  CHECK(seed_of("a.jpg") != seed_of("b.jpg"));
  for (const char* key : {"", "a", "b", "photos/IMG_0001.JPG"})
    CHECK((seed_of(key) >= 0 && seed_of(key) <= (1LL << 53)));
}
