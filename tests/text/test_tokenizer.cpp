#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "support/golden.hpp"
#include "support/temp_dir.hpp"
#include "text/tokenizer.hpp"
#include "text/tokenizers.hpp"

using namespace step1x;
using nlohmann::json;
using step1x::test::kGolden;
using step1x::test::read_file;
using step1x::test::TempDir;

namespace {

using Ids = std::vector<Tokenizer::Id>;

std::string refusal(const json& tokenizer) {
  const TempDir dir;
  const auto path = dir.write("tokenizer.json", tokenizer.dump());
  try {
    const Tokenizer opened(path);
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::model_missing);
    const std::string message = error.what();
    CHECK(message.find(path.string()) == 0);
    return message;
  }
}

bool mentions(const std::string& message, std::string_view part) {
  CAPTURE(message);
  return message.find(part) != std::string::npos;
}

std::string unhex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

}  // namespace

TEST_CASE("every vector of the reference has the same ids, in both vocabularies") {
  const json vectors = json::parse(read_file(kGolden / "tokenizer/vectors.json"));
  REQUIRE(vectors.size() > 1000);
  for (const json& vector : vectors) {
    const auto text = vector["text"].get<std::string>();
    CAPTURE(vector["kind"].get<std::string>());
    CAPTURE(vector["text"].dump().substr(0, 200));
    CHECK(test::full_tokenizer().encode(text) == vector["full"].get<Ids>());
    CHECK(test::small_tokenizer().encode(text) == vector["small"].get<Ids>());
  }
}

TEST_CASE("text that is not UTF-8 is refused at the byte where it goes wrong") {
  const json vectors = json::parse(read_file(kGolden / "tokenizer/invalid_utf8.json"));
  REQUIRE(vectors.size() > 20);
  for (const json& vector : vectors) {
    const auto hex = vector["hex"].get<std::string>();
    CAPTURE(hex);
    try {
      test::small_tokenizer().encode(unhex(hex));
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::usage);
      CHECK(mentions(error.what(), "byte " + std::to_string(vector["offset"].get<int>()) + " "));
    }
  }
}

TEST_CASE("NUL is a character like any other") {
  const std::string text("a\0b", 3);
  CHECK(test::small_tokenizer().encode(text).size() == 3);
}

TEST_CASE("ids are the text that they were made of, but for added tokens and characters that are not whole") {
  for (const Tokenizer* tokenizer : {&test::full_tokenizer(), &test::small_tokenizer()}) {
    const std::string text = "Ein  Käse,\n\t猫 kostet 12€ 👍!";
    const std::vector<Tokenizer::Id> ids = tokenizer->encode("<|im_start|>" + text + "<|im_end|>");
    CHECK(tokenizer->decode(ids) == text);
    const std::vector<Tokenizer::Id> thumb = test::small_tokenizer().encode("a👍");
    for (std::size_t i = 1; i < thumb.size(); ++i)
      CHECK(test::small_tokenizer().decode(std::span(thumb).first(i)) == "a");
    CHECK(test::small_tokenizer().decode(std::span(thumb).subspan(2)).empty());
  }
}

TEST_CASE("added tokens are found leftmost and longest, also next to each other") {
  const auto parts = test::small_tokenizer().split_added("x<|im_start|><|im_start|<|im_end|>");
  REQUIRE(parts.size() == 4);
  CHECK(parts[0].text == "x");
  CHECK(parts[1].id == test::small_tokenizer().added_id("<|im_start|>"));
  CHECK(parts[2].text == "<|im_start|");
  CHECK_FALSE(parts[2].id.has_value());
  CHECK(parts[3].id == test::small_tokenizer().added_id("<|im_end|>"));
  CHECK(test::small_tokenizer().split_added("").empty());
  CHECK_THROWS_WITH_AS(test::small_tokenizer().added_id("<|none|>"), doctest::Contains("'<|none|>' is missing"), Error);
}

TEST_CASE("of two added tokens that begin alike the longer one is taken") {
  json file = json::parse(read_file(kGolden / "tokenizer-4096/tokenizer.json"));
  for (const auto& [content, id] :
       std::vector<std::pair<std::string, int>>{{"<<", 5000}, {"<<<x", 5001}, {"<", 5002}}) {
    file["added_tokens"].push_back({{"content", content}, {"id", id}, {"normalized", false}});
  }
  const TempDir dir;
  const Tokenizer tokenizer(dir.write("tokenizer.json", file.dump()));
  CHECK(tokenizer.encode("<<<x<<<<") == Ids{5001, 5000, 5000});
  CHECK(tokenizer.encode("<<<") == Ids{5000, 5002});
}

TEST_CASE("merges written as one string are the same merges") {
  json file = json::parse(read_file(kGolden / "tokenizer-4096/tokenizer.json"));
  for (json& merge : file["model"]["merges"]) merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  const TempDir dir;
  const Tokenizer older(dir.write("tokenizer.json", file.dump()));
  for (const char* text : {"Hello world, the quick brown fox", "\xe4\xbd\xa0\xe5\xa5\xbd", "aaaaaaa   \n\n b"}) {
    CHECK(older.encode(text) == test::small_tokenizer().encode(text));
  }
}

TEST_CASE("a tokenizer of another kind is refused by what it asks for") {
  const json good = json::parse(read_file(kGolden / "tokenizer-4096/tokenizer.json"));
  REQUIRE(refusal(good) == "");
  const auto with = [&](const char* pointer, const json& value) {
    json changed = good;
    changed[json::json_pointer(pointer)] = value;
    return refusal(changed);
  };
  CHECK(mentions(with("/model/type", "Unigram"), "'model.type' is \"Unigram\""));
  CHECK(mentions(with("/model/byte_fallback", true), "byte_fallback"));
  CHECK(mentions(with("/model/ignore_merges", true), "ignore_merges"));
  CHECK(mentions(with("/model/unk_token", "<unk>"), "unk_token"));
  CHECK(mentions(with("/normalizer/type", "NFKC"), "normalizer.type"));
  CHECK(mentions(with("/normalizer", nullptr), "normalizer.type"));
  CHECK(mentions(with("/pre_tokenizer/pretokenizers/0/invert", true), "invert"));
  CHECK(mentions(with("/pre_tokenizer/pretokenizers/0/behavior", "Removed"), "behavior"));
  for (const char* pattern : {"((", "(a+)+$", ""})
    CHECK(
        mentions(with("/pre_tokenizer/pretokenizers/0/pattern/Regex", pattern), "'pretokenizers[0].pattern.Regex' is"));
  CHECK(mentions(with("/pre_tokenizer/pretokenizers/1/add_prefix_space", true), "add_prefix_space"));
  CHECK(mentions(with("/added_tokens/0/lstrip", true), "lstrip"));
  CHECK(mentions(with("/added_tokens/0/normalized", true), "normalized"));
  CHECK(mentions(with("/added_tokens/0/id", -1), "no content or id"));
  CHECK(mentions(with("/model/vocab/!", "zero"), "not an id"));
  CHECK(mentions(with("/model/vocab/!", 1e10), "not an id"));
  CHECK(mentions(with("/model/merges/0", "x"), "two parts"));
  CHECK(mentions(with("/model/merges/1", "x y"), "two parts"));
  CHECK(mentions(with("/model/merges/0", json::array({"x"})), "two parts"));
  CHECK(mentions(with("/added_tokens/0", 1), "not an object"));
  CHECK(mentions(with("/model/merges/0", json::array({"zzzz", "yyyy"})), "not in the vocabulary"));
  json without_byte = good;
  without_byte["model"]["vocab"].erase("~");
  CHECK(mentions(refusal(without_byte), "byte 0x7e"));
}

TEST_CASE("a file that is no tokenizer is refused") {
  const TempDir dir;
  CHECK_THROWS_WITH_AS(Tokenizer(dir.path() / "none.json"), doctest::Contains("cannot open"), Error);
  CHECK_THROWS_WITH_AS(Tokenizer(dir.path()), doctest::Contains("cannot"), Error);
  CHECK_THROWS_WITH_AS(Tokenizer(dir.write("cut.json", "{\"model\":{\"vocab\":{\"a\":1")),
                       doctest::Contains("not JSON"), Error);
  for (const char* content : {"", "1", "[]", "{}", "null", "[[[]]]", "{\"added_tokens\":1}", "{\"model\":[]}",
                              "{\"model\":{\"vocab\":[]}}"}) {
    CAPTURE(content);
    CHECK_THROWS_AS(Tokenizer(dir.write("t.json", content)), Error);
  }
}

// Patterns that make a backtracking or quadratic tokenizer take minutes.
TEST_CASE("a long run of one kind of character is encoded in reasonable time") {
  for (const char* unit : {" ", "a", "\n", "\xe4\xbd\xa0", "'", "1", " \n", "a ", "\xcc\x81", "<", "<|im_start|>"}) {
    CAPTURE(unit);
    std::string text;
    while (text.size() < 400'000) text += unit;
    const auto start = std::chrono::steady_clock::now();
    CHECK_FALSE(test::small_tokenizer().encode(text).empty());
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(60));
  }
}
