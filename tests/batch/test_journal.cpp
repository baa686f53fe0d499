#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>

#include "base/error.hpp"
#include "batch/journal.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;
using namespace step1x::batch;

namespace {

Json item(const std::string& key, int n) {
  return {{"kind", "item"}, {"key", key}, {"state", "done"}, {"n", n}};
}

struct JournalFolder {
  test::TempDir dir;
  std::filesystem::path folder = dir.path();
  std::filesystem::path file = folder / "step1x-batch.jsonl";

  void write(int items) const {
    Journal journal = Journal::open(folder, {});
    journal.append({{"kind", "run"}, {"pid", 4711}, {"host", "here"}});
    for (int i = 0; i < items; ++i) journal.append(item("picture " + std::to_string(i), i));
  }
};

}  // namespace

TEST_CASE("what is appended is read, the last line of each item") {
  const JournalFolder scene;
  scene.write(3);
  Journal::open(scene.folder, {}).append(item("picture 1", 17));
  const JournalView view = JournalView::read(scene.folder);
  CHECK(view.items().size() == 3);
  CHECK(view.items().at("picture 1")["n"] == 17);
  CHECK(view.runs().size() == 1);
  CHECK(view.damaged() == 0);
}

TEST_CASE("a folder without a journal, and one that is not there") {
  const test::TempDir dir;
  CHECK(JournalView::read(dir.path()).items().empty());
  CHECK(JournalView::read(dir.path() / "none").items().empty());
}

TEST_CASE("names and texts of any kind come back as they were, or as near as JSON can") {
  const test::TempDir dir;
  for (const std::string key : {"quote \" and \\ and\nline", "\x01", "grüße/画.jpg", R"(","crc":"00000000"})"}) {
    CAPTURE(key);
    Journal::open(dir.path(), {}).append(item(key, 1));
    CHECK(JournalView::read(dir.path()).items().count(key) == 1);
  }
  // No UTF-8: a name of a file may be anything.
  Journal::open(dir.path(), {}).append(item("\xff.jpg", 1));
  CHECK(JournalView::read(dir.path()).damaged() == 0);
}

TEST_CASE("cut at any byte, a journal has the lines that are whole, and can be gone on with") {
  const JournalFolder scene;
  scene.write(6);
  const std::string whole = test::read_file(scene.file);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    CAPTURE(size);
    scene.dir.write("step1x-batch.jsonl", whole.substr(0, size));
    const std::size_t lines = static_cast<std::size_t>(std::ranges::count(whole.substr(0, size), '\n'));
    const std::size_t items = lines == 0 ? 0 : lines - 1;
    // A line that is whole but for its end counts already.
    const std::size_t before = JournalView::read(scene.folder).items().size();
    REQUIRE((before == items || before == items + 1));
    Journal::open(scene.folder, {}).append(item("new", 1));
    const JournalView view = JournalView::read(scene.folder);
    REQUIRE(view.items().size() == items + 1);
    REQUIRE(view.items().at("new")["n"] == 1);
    REQUIRE(view.damaged() == 0);
  }
}

TEST_CASE("any byte changed costs its line, or two when it is a line's end, and never makes another one") {
  const JournalFolder scene;
  scene.write(4);
  const std::string whole = test::read_file(scene.file);
  const JournalView right = JournalView::read(scene.folder);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int flip : {1, 0x80, '\n' ^ whole[at]}) {
      if (flip == 0) continue;
      CAPTURE(at);
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      scene.dir.write("step1x-batch.jsonl", damaged);
      const JournalView view = JournalView::read(scene.folder);
      REQUIRE(view.items().size() + view.runs().size() >= 3);
      REQUIRE(view.damaged() >= 1);
      for (const auto& [key, object] : view.items()) REQUIRE(object == right.items().at(key));
    }
  }
}

TEST_CASE("of two batches on one folder the second is refused with the first's process") {
  const JournalFolder scene;
  scene.write(1);
  {
    Journal first = Journal::open(scene.folder, {});
    CHECK(journal_in_use(scene.file));
    CHECK_THROWS_WITH_AS(Journal::open(scene.folder, {}), doctest::Contains("process 4711 on here"), Error);
    // Another part is another matter, and reading disturbs nobody.
    const Journal other = Journal::open(scene.folder, {2, 3});
    CHECK(JournalView::read(scene.folder).items().size() == 1);
    CHECK_THROWS_AS(merge_journals(scene.folder), Error);
    first.append(item("still", 1));
  }
  CHECK(!journal_in_use(scene.file));
  Journal::open(scene.folder, {});
}

TEST_CASE("the journals of all parts are one when they are read, and can be made one") {
  const JournalFolder scene;
  scene.write(2);
  Journal::open(scene.folder, {1, 2}).append(item("a", 1));
  Journal::open(scene.folder, {2, 2}).append(item("b", 2));
  CHECK(JournalView::read(scene.folder).items().size() == 4);
  CHECK(JournalView::read(scene.folder).files().size() == 3);
  CHECK(merge_journals(scene.folder) == 4);
  const JournalView merged = JournalView::read(scene.folder);
  CHECK(merged.files() == std::vector{scene.file});
  CHECK(merged.items().size() == 4);
  CHECK(merged.runs().size() == 1);
  // Who had waited with the old file open gets the new one.
  Journal::open(scene.folder, {}).append(item("c", 3));
  CHECK(JournalView::read(scene.folder).items().size() == 5);
}

TEST_CASE("of several journals the newest line of an item counts, within one the last, whatever its clock said") {
  const test::TempDir dir;
  const auto timed = [](const std::string& time, int n) {
    Json line = item("a", n);
    line["time"] = time;
    return line;
  };
  Journal::open(dir.path(), {}).append(timed("2026-01-01T00:00:02Z", 1));
  Journal::open(dir.path(), {1, 2}).append(timed("2026-01-01T00:00:01Z", 2));
  CHECK(JournalView::read(dir.path()).items().at("a")["n"] == 1);
  Journal::open(dir.path(), {2, 2}).append(timed("2026-01-01T00:00:02.500Z", 3));
  CHECK(JournalView::read(dir.path()).items().at("a")["n"] == 3);
  Journal::open(dir.path(), {2, 2}).append(timed("2026-01-01T00:00:02.400Z", 4));
  CHECK(JournalView::read(dir.path()).items().at("a")["n"] == 4);
  CHECK(merge_journals(dir.path()) == 1);
  CHECK(JournalView::read(dir.path()).items().at("a")["n"] == 4);
}

TEST_CASE("whatever was written is known with its newest hash, under other names and after a merge too") {
  const test::TempDir dir;
  const auto written = [](const char* time, const char* output, const char* sha256) {
    Json line = item("a", 1);
    line.update({{"time", time}, {"output", output}, {"output_sha256", sha256}});
    return line;
  };
  Journal::open(dir.path(), {}).append(written("2026-01-01T00:00:01Z", "a.png", "old"));
  Journal::open(dir.path(), {1, 2}).append(written("2026-01-01T00:00:02Z", "a.png", "new"));
  Json failed = item("a", 2);
  failed.update({{"time", "2026-01-01T00:00:03Z"}, {"state", "failed"}, {"output", "a.png"}});
  Journal::open(dir.path(), {1, 2}).append(failed);
  Journal::open(dir.path(), {1, 2}).append(written("2026-01-01T00:00:04Z", "a.webp", "other"));
  const std::map<std::string, std::string> all{{"a.png", "new"}, {"a.webp", "other"}};
  CHECK(JournalView::read(dir.path()).outputs() == all);
  for (int merges = 0; merges < 2; ++merges) {
    CHECK(merge_journals(dir.path()) == 1);
    const JournalView merged = JournalView::read(dir.path());
    CHECK(merged.outputs() == all);
    CHECK(merged.items().at("a")["output"] == "a.webp");
  }
}

TEST_CASE("the last run is the last of its file, whatever its clock said, and of several files the youngest of these") {
  const test::TempDir dir;
  const auto run = [](const std::string& time, int n) { return Json{{"kind", "run"}, {"time", time}, {"n", n}}; };
  const auto last = [&] { return JournalView::read(dir.path()).runs().back()["n"]; };
  Journal::open(dir.path(), {}).append(run("2026-01-01T00:00:09Z", 1));
  Journal::open(dir.path(), {}).append(run("2026-01-01T00:00:03Z", 2));
  CHECK(last() == 2);
  Journal::open(dir.path(), {1, 2}).append(run("2026-01-01T00:00:04Z", 3));
  CHECK(last() == 3);
  Journal::open(dir.path(), {}).append(run("2026-01-01T00:00:02Z", 4));
  CHECK(last() == 3);
  merge_journals(dir.path());
  CHECK(last() == 3);
}

TEST_CASE("a part that is being written is not merged") {
  const JournalFolder scene;
  scene.write(1);
  const Journal part = Journal::open(scene.folder, {2, 3});
  CHECK_THROWS_WITH_AS(merge_journals(scene.folder), doctest::Contains("in use"), Error);
}

TEST_CASE("a journal that is no file is refused, and not waited for") {
  const test::TempDir dir;
  REQUIRE(::mkfifo((dir.path() / "step1x-batch.jsonl").c_str(), 0600) == 0);
  CHECK_THROWS_WITH_AS(Journal::open(dir.path(), {}), doctest::Contains("not a regular file"), Error);
  CHECK_THROWS_WITH_AS(JournalView::read(dir.path()), doctest::Contains("not a regular file"), Error);
}

TEST_CASE("who has a large journal is told in no time") {
  const JournalFolder scene;
  scene.write(1);
  std::string lines;
  for (int i = 0; i < 200'000; ++i) lines += journal_line(item("picture " + std::to_string(i), i));
  std::ofstream(scene.file, std::ios::app) << lines;
  const Journal first = Journal::open(scene.folder, {});
  const auto start = std::chrono::steady_clock::now();
  CHECK_THROWS_WITH_AS(Journal::open(scene.folder, {}), doctest::Contains("process 4711 on here"), Error);
  // What grows with the square took minutes.
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

TEST_CASE("a line that does not fit on the disk leaves no beginning of it") {
  // /dev/full takes nothing; a journal is a file, so a limit of its size has to do.
  const JournalFolder scene;
  scene.write(1);
  Journal journal = Journal::open(scene.folder, {});
  const std::string before = test::read_file(scene.file);
  rlimit old{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{before.size() + 10, old.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &tight) == 0);
  CHECK_THROWS_WITH_AS(journal.append(item("long", 1)), doctest::Contains("cannot write"), Error);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &old) == 0);
  CHECK(test::read_file(scene.file) == before);
  journal.append(item("long", 1));
  CHECK(JournalView::read(scene.folder).items().size() == 2);
}
