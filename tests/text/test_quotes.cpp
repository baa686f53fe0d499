#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "text/quotes.hpp"

using namespace step1x;

namespace {

// "a|[b]|c": pieces, quoted ones in brackets.
std::string joined(const std::vector<QuotePiece>& pieces) {
  std::string out;
  for (const QuotePiece& piece : pieces) {
    if (!out.empty()) out += '|';
    out += piece.quoted ? "[" + piece.text + "]" : piece.text;
  }
  return out;
}

std::string wrapped(std::string_view text, std::size_t start = 0) {
  return joined(cut_wrapped(text, start));
}
std::string marked(std::string_view text, std::size_t start = 0) {
  return joined(cut_marked(text, start));
}

}  // namespace

TEST_CASE("wrapped: every kind of quotation mark but the curly single ones opens and closes") {
  CHECK(wrapped("") == "");
  CHECK(wrapped("plain") == "plain");
  CHECK(wrapped("a 'b' c") == "a \"|[“b”]|\" c");
  CHECK(wrapped("a “b' c") == "a \"|[“b”]|\" c");
  CHECK(wrapped("‘b’") == "‘b’");
  CHECK(wrapped("\"é\"") == "\"|[“é”]|\"");
  CHECK(wrapped("\"\"") == "\"|\"");
}

TEST_CASE("wrapped: a mark that is never closed quotes the rest") {
  CHECK(wrapped("it's x") == "it\"|[“s”]|[“ ”]|[“x”]");
}

TEST_CASE("wrapped: marks before the start do not count, and characters are counted, not bytes") {
  CHECK(wrapped("é'a'", 2) == "é\"a\"");
  CHECK(wrapped("é'a'", 1) == "é\"|[“a”]|\"");
}

TEST_CASE("marked: each kind of mark is closed by its own kind") {
  CHECK(marked("") == "");
  CHECK(marked("a \"b\" c") == "a \"|[b]|\" c");
  CHECK(marked("a “é”c") == "a “|[é]|”c");
  CHECK(marked("a “b\"c”") == "a “|[b]|[\"]|[c]|”");
  CHECK(marked("it's") == "it's");
  CHECK(marked("\"a\" \"b\"") == "\"|[a]|\" \"|[b]|\"");
}

TEST_CASE("marked: a mark that is never closed quotes nothing") {
  CHECK(marked("a \"b\" \"c") == "a \"|[b]|\" \"c");
  CHECK(marked("“open") == "open");
  CHECK(marked("a ”b“") == "a ”b“");
}

TEST_CASE("marked: marks before the start do not count") {
  CHECK(marked("\"a\" \"b\"", 4) == "\"a\" \"|[b]|\"");
}
