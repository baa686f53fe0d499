#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/error.hpp"
#include "batch/manifest.hpp"
#include "batch/names.hpp"
#include "batch/scan.hpp"
#include "batch/shard.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;
using namespace step1x::batch;
namespace fs = std::filesystem;

namespace {

std::string keys(const std::vector<Item>& items) {
  std::string text;
  for (const Item& item : items) text += item.key + " ";
  return text;
}

struct Tree {
  Tree() {
    fs::create_directories(dir.path() / "sub/deep");
    fs::create_directories(dir.path() / ".hidden");
    fs::create_directories(dir.path() / "out");
    for (const char* name : {"b.jpg", "a.PNG", "notes.txt", ".c.jpg", "sub/d.webp", "sub/deep/e.jpg", ".hidden/f.jpg",
                             "out/g.jpg", "raw.dng"})
      dir.write(name, "x");
    fs::create_symlink(dir.path(), dir.path() / "sub/loop");
    fs::create_symlink(dir.path() / "b.jpg", dir.path() / "link.jpg");
    fs::create_symlink("nowhere", dir.path() / "dangling.jpg");
    fs::create_directory(dir.path() / "folder.jpg");
  }
  std::string scan(Selection selection) const { return keys(scan_folder(dir.path(), selection).items); }

  test::TempDir dir;
};

}  // namespace

TEST_CASE("a folder's pictures by their extension, in order, without hidden ones") {
  const Tree tree;
  CHECK(tree.scan({}) == "a.PNG b.jpg link.jpg ");
  CHECK(tree.scan({.recursive = true, .skip = tree.dir.path() / "out"}) ==
        "a.PNG b.jpg link.jpg sub/d.webp sub/deep/e.jpg ");
  CHECK(tree.scan({.recursive = true}) == "a.PNG b.jpg link.jpg out/g.jpg sub/d.webp sub/deep/e.jpg ");
  CHECK_THROWS_WITH_AS(scan_folder(tree.dir.path() / "none", {}), doctest::Contains("none"), Error);
}

TEST_CASE("patterns choose by name, or with a slash by path") {
  const Tree tree;
  CHECK(tree.scan({.recursive = true, .include = {"*.jpg"}, .skip = tree.dir.path() / "out"}) ==
        "b.jpg link.jpg sub/deep/e.jpg ");
  CHECK(tree.scan({.recursive = true, .include = {"sub/*"}}) == "sub/d.webp sub/deep/e.jpg ");
  CHECK(tree.scan({.include = {"*.dng"}}) == "raw.dng ");
  CHECK(tree.scan({.exclude = {"b*", "link.*"}}) == "a.PNG ");
  CHECK(tree.scan({.recursive = true, .exclude = {"sub/*", "out/*"}}) == "a.PNG b.jpg link.jpg ");
}

TEST_CASE("a list has a path a line, or for each zero byte") {
  CHECK(keys(read_list("a.jpg\n\nb c.jpg\r\nsub/../d.jpg", false)) == "a.jpg b c.jpg d.jpg ");
  const std::string odd("a\nb.jpg\0c.jpg\0", 14);
  CHECK(keys(read_list(odd, true)) == "a\nb.jpg c.jpg ");
  CHECK(read_list("", false).empty());
  CHECK(keys(read_list("\xef\xbb\xbf"
                       "a.jpg\n",
                       false)) == "a.jpg ");
  CHECK_THROWS_WITH_AS(read_list(odd, false), doctest::Contains("-0"), Error);
}

TEST_CASE("the prompt beside a picture") {
  const test::TempDir dir;
  dir.write("a.jpg", "x");
  Item item{"a.jpg", dir.path() / "a.jpg"};
  CHECK(!sidecar_prompt(item));
  dir.write("a.txt", "make it red\n");
  CHECK(sidecar_prompt(item) == "make it red");
  dir.write("a.txt", std::string(70'000, 'x'));
  CHECK_THROWS_AS(sidecar_prompt(item), Error);
}

TEST_CASE("a name from a template") {
  const auto name = [](const char* text) { return NameTemplate(text).apply({"cat", "png", 7, 12, 3}); };
  CHECK(name("{stem}.{ext}") == "cat.png");
  CHECK(name("{index}-{stem}-{seed}.{ext}") == "12-cat-7.png");
  CHECK(name("{{{stem}}}") == "{cat}");
  for (const char* wrong : {"", "{stem", "stem}", "{name}.png", "a/{stem}", "{", ".{stem}"}) {
    CAPTURE(wrong);
    CHECK_THROWS_WITH_AS(NameTemplate{wrong}, doctest::Contains("--name"), Error);
  }
}

TEST_CASE("the tree is kept below the output folder, and nothing gets out of it") {
  CHECK(output_key("a.jpg", "x.png") == "x.png");
  CHECK(output_key("sub/deep/a.jpg", "x.png") == "sub/deep/x.png");
  CHECK(output_key("/photos/a.jpg", "x.png") == "x.png");
  CHECK(output_key("../photos/a.jpg", "x.png") == "x.png");
}

TEST_CASE("two pictures with one name, and a picture that would replace an input, are found before anything is done") {
  const test::TempDir dir;
  const fs::path in = dir.path();
  const fs::path out = dir.path() / "out";
  fs::create_directory(out);
  CHECK_NOTHROW(check_targets(
      std::vector<Target>{{"a.jpg", in / "a.jpg", out / "a.png"}, {"b.jpg", in / "b.jpg", out / "b.png"}}, false));
  const std::vector<Target> same{{"a.jpg", in / "a.jpg", out / "a.png"}, {"a.png", in / "a.png", out / "a.png"}};
  CHECK_THROWS_WITH_AS(check_targets(same, false), doctest::Contains("a.jpg and a.png"), Error);
  const std::vector<Target> letters{{"A.jpg", in / "A.jpg", out / "A.png"}, {"a.jpg", in / "a.jpg", out / "a.png"}};
  CHECK_NOTHROW(check_targets(letters, false));
  CHECK_THROWS_AS(check_targets(letters, true), Error);
  fs::create_symlink(in, out / "back");
  const std::vector<Target> replaced{{"a.png", in / "a.png", out / "back/b.png"},
                                     {"b.png", in / "b.png", out / "b.png"}};
  CHECK_THROWS_WITH_AS(check_targets(replaced, false), doctest::Contains("replace the input b.png"), Error);
  const std::vector<Target> named{{"a.jpg", in / "a.jpg", in / "B.PNG"}, {"b.png", in / "b.png", out / "b.png"}};
  CHECK_NOTHROW(check_targets(named, false));
  CHECK_THROWS_WITH_AS(check_targets(named, true), doctest::Contains("replace the input b.png"), Error);
}

TEST_CASE("a part of a batch: every item is in one, adding items moves none, and the parts are about equal") {
  CHECK(parse_shard("2/5", "--shard") == Shard{2, 5});
  for (const char* wrong : {"", "2", "0/5", "6/5", "2/0", "2/5x", "a/5", "-1/5", "2/", "1/9999999"}) {
    CAPTURE(wrong);
    CHECK_THROWS_WITH_AS(parse_shard(wrong, "--shard"), doctest::Contains("--shard"), Error);
  }
  for (const int count : {2, 3, 4, 7, 16}) {
    std::vector<int> sizes(static_cast<std::size_t>(count), 0);
    for (int n = 0; n < 8000; ++n) {
      int in = 0;
      for (int index = 1; index <= count; ++index) {
        if (!belongs(fmt::format("photos/IMG_{:04}.JPG", n), {index, count})) continue;
        ++in;
        ++sizes[static_cast<std::size_t>(index - 1)];
      }
      REQUIRE(in == 1);
    }
    for (const int size : sizes) CHECK(size == doctest::Approx(8000.0 / count).epsilon(0.2));
  }
  // What other releases and other machines find must be the same: never to be changed.
  CHECK(belongs("a.jpg", {2, 3}));
}

TEST_CASE("manifests of every kind say the same") {
  const test::TempDir dir;
  const auto check = [&](const char* name, const std::string& text) {
    CAPTURE(name);
    const auto items = read_manifest(dir.write(name, text), "/photos");
    REQUIRE(items.size() == 2);
    CHECK(items[0].key == "sub/a.jpg");
    CHECK(items[0].input == "/photos/sub/a.jpg");
    CHECK(items[0].own["prompt"] == "make it \"red\", now");
    CHECK(items[0].own["seed"] == 7);
    CHECK(items[0].own["guidance"] == 4.5);
    CHECK(items[0].own["guidance_damping"] == "off");
    CHECK(items[0].own["vae_tiling"] == true);
    CHECK(items[1].key == "b.jpg");
    CHECK(items[1].own["prompt"] == "blue");
    CHECK(!items[1].own.contains("seed"));
  };
  check("m.jsonl",
        "{\"input\":\"sub/a.jpg\",\"prompt\":\"make it \\\"red\\\", now\",\"seed\":7,\"guidance\":4.5,"
        "\"guidance_damping\":\"off\",\"vae_tiling\":true}\n\n"
        "{\"image\":\"./b.jpg\",\"prompt\":\"blue\",\"seed\":null}");
  check("m.csv",
        "\xef\xbb\xbfinput,prompt,seed,guidance,guidance_damping,vae_tiling\r\n"
        "sub/a.jpg,\"make it \"\"red\"\", now\", 7 ,4.5,off,true\r\nb.jpg,blue,,,,\r\n");
  check("m.tsv",
        "input\tprompt\tseed\tguidance\tguidance_damping\tvae_tiling\n"
        "sub/a.jpg\t\"make it \"\"red\"\", now\"\t7\t4.5\toff\ttrue\nb.jpg\tblue\t\t\t\t\n");
  check("empty lines.csv",
        "input,prompt,seed,guidance,guidance_damping,vae_tiling\n\n"
        "sub/a.jpg,\"make it \"\"red\"\", now\",7,4.5,off,true\n\r\nb.jpg,blue,,,,\n\n");
  const auto items = read_manifest(dir.write("m.json", R"({"a.jpg": "red", "b.jpg": "blue"})"), "/photos");
  REQUIRE(items.size() == 2);
  CHECK(items[1].own["prompt"] == "blue");
}

TEST_CASE("an output has one spelling") {
  const test::TempDir dir;
  for (const char* spelling : {"sub/x.png", "./sub/x.png", "sub//x.png", "./sub/././/x.png"}) {
    CAPTURE(spelling);
    const auto items =
        read_manifest(dir.write("m.jsonl", fmt::format(R"({{"input":"a.jpg","output":"{}"}})", spelling)), "/");
    CHECK(items[0].output == "sub/x.png");
  }
}

TEST_CASE("what is wrong in a manifest is told with its line") {
  const test::TempDir dir;
  const std::pair<const char*, const char*> wrong[] = {
      {"1.jsonl", "{\"input\":\"a.jpg\"}\n{\"input\":\"b.jpg\",\"sed\":1}"},
      {"2.jsonl", "\n[1]"},
      {"3.jsonl", "\n{\"prompt\":\"no input\"}"},
      {"4.jsonl", "\n{\"input\":\"a.jpg\",\"seed\":-1}"},
      {"5.jsonl", "\n{\"input\":\"a.jpg\",\"output\":\"../b.png\"}"},
      {"6.jsonl", "\n{\"input\":\"a.jpg\",\"guidance\":\"high\"}"},
      {"7.csv", "input,seed\na.jpg,x"},
      {"8.csv", "input,seed\na.jpg"},
      {"9.csv", "input,prompt\na.jpg,\"open"},
      {"10.jsonl", "\n{\"input\":\"a.jpg\",\"guidance_damping\":\"late\"}"},
      {"11.csv", "input,vae_tiling\na.jpg,perhaps"},
      {"12.jsonl", "\n{\"input\":\"a.jpg\",\"output\":\"/b.png\"}"},
      {"13.jsonl", "\n{\"input\":\"a.jpg\",\"output\":\"sub/\"}"},
      {"14.jsonl", "\n{\"input\":\"a.jpg\",\"output\":\"sub/.\"}"},
      {"15.jsonl", "\n{\"input\":\"a.jpg\",\"output\":\"./.\"}"},
  };
  for (const auto& [name, text] : wrong) {
    CAPTURE(name);
    CHECK_THROWS_WITH_AS(read_manifest(dir.write(name, text), "/"), doctest::Contains("line 2: "), Error);
  }
  const std::pair<const char*, const char*> twice[] = {
      {"1.json", "{\"a.jpg\":\n\"x\",\"a.jpg\":\"y\"}"},
      {"2.jsonl", "\n{\"input\":\"a.jpg\",\"prompt\":\"x\",\"prompt\":\"y\"}"},
      {"3.jsonl", "\n{\"input\":\"a.jpg\",\"input\":\"b.jpg\"}"},
      {"4.jsonl", "\n{\"input\":\"a.jpg\",\"image\":\"b.jpg\"}"},
      {"5.csv", "\ninput,prompt,prompt\na.jpg,x,y"},
      {"6.csv", "input,image\na.jpg,b.jpg"},
      {"7.tsv", "\ninput\tprmopt\na.jpg\tx"},
      {"8.csv", "\ninput,\na.jpg,x"},
      {"9.json", "{\"a.jpg\":\n\"x\", \"b.jpg\": 1}"},
  };
  for (const auto& [name, text] : twice) {
    CAPTURE(name);
    CHECK_THROWS_WITH_AS(read_manifest(dir.write(name, text), "/"), doctest::Contains("line 2: "), Error);
  }
  // What nobody fills in does no harm.
  const auto empty = read_manifest(dir.write("empty.csv", "input,image,notes,,\na.jpg,,,,\n,b.jpg,,,\n"), "/");
  CHECK(keys(empty) == "a.jpg b.jpg ");
  // Lines are those of the file, also behind a cell of several.
  CHECK_THROWS_WITH_AS(
      read_manifest(dir.write("lines.csv", "input,prompt,seed\na.jpg,\"red,\n\nvery\",\nb.jpg,blue,x"), "/"),
      doctest::Contains("line 5: "), Error);
  CHECK_THROWS_AS(read_manifest(dir.write("a.json", "[]"), "/"), Error);
  CHECK_THROWS_AS(read_manifest(dir.write("a.yaml", ""), "/"), Error);
  CHECK_THROWS_AS(read_manifest(dir.path() / "none.csv", "/"), Error);
}

TEST_CASE("a picture takes no journal's name, and no place where something lies that is no file") {
  const test::TempDir dir;
  const auto check = [&](const char* name) {
    check_targets(std::vector<Target>{{"a.jpg", dir.path() / "in/a.jpg", dir.path() / name}}, false);
  };
  CHECK_NOTHROW(check("a.png"));
  for (const char* name : {"step1x-batch.jsonl", "step1x-batch.2-of-5.jsonl", "STEP1X-batch.JSONL"}) {
    CAPTURE(name);
    CHECK_THROWS_WITH_AS(check(name), doctest::Contains("journal"), Error);
  }
  REQUIRE(::mkfifo((dir.path() / "pipe.png").c_str(), 0600) == 0);
  CHECK_THROWS_WITH_AS(check("pipe.png"), doctest::Contains("no regular file"), Error);
  fs::create_directory(dir.path() / "folder.png");
  CHECK_THROWS_WITH_AS(check("folder.png"), doctest::Contains("no regular file"), Error);
}

TEST_CASE("a link to an input is that input, and the advice is not what was done") {
  const test::TempDir dir;
  const fs::path in = dir.write("in/b.png", "x");
  fs::create_directory(dir.path() / "out");
  fs::create_symlink(in, dir.path() / "out/a.png");
  const std::vector<Target> linked{{"a.jpg", dir.path() / "in/a.jpg", dir.path() / "out/a.png"},
                                   {"b.png", in, dir.path() / "out/b.png"}};
  CHECK_THROWS_WITH_AS(check_targets(linked, false), doctest::Contains("leave that input out"), Error);
  const std::vector<Target> itself{{"b.png", in, in}};
  CHECK_THROWS_WITH_AS(check_targets(itself, false), doctest::Contains("--name '{stem}-edited.{ext}'"), Error);
}

TEST_CASE("what an earlier run made in the folder is passed over, by whichever way the folder is named") {
  const Tree tree;
  const fs::path folder = fs::canonical(tree.dir.path());
  CHECK(tree.scan({.made = {folder / "a.PNG"}}).find("a.PNG") == std::string::npos);
  CHECK(tree.scan({.made = {folder / "elsewhere/a.PNG"}}).find("a.PNG") != std::string::npos);
}

TEST_CASE("a shard does not depend on where the tree lies") {
  const test::TempDir one;
  const test::TempDir other;
  for (const test::TempDir* dir : {&one, &other}) {
    for (const char* name : {"a.png", "b.png", "sub/c.png"}) dir->write(name, "x");
  }
  const Found first = scan_folder(one.path(), {.recursive = true});
  const Found second = scan_folder(other.path(), {.recursive = true});
  REQUIRE(first.items.size() == 3);
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(belongs(first.items[i].key, {1, 2}) == belongs(second.items[i].key, {1, 2}));
}
