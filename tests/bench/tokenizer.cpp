// How long the tokenizer takes to load and to encode one megabyte. Usage: bench_tokenizer TOKENIZER_JSON
#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <random>
#include <string>

#include "text/tokenizer.hpp"

namespace {

constexpr std::size_t kBytes = 1'000'000;

double milliseconds(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

void append_utf8(std::string& text, unsigned code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
  } else {
    text += {static_cast<char>(0xE0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3F)),
             static_cast<char>(0x80 | (code & 0x3F))};
  }
}

// Words of random letters between spaces, so that few repeat.
std::string words(unsigned first, unsigned last, unsigned longest) {
  std::mt19937 random(1);
  std::string text;
  while (text.size() < kBytes) {
    for (unsigned n = 1 + random() % longest; n > 0; --n) append_utf8(text, first + random() % (last - first + 1));
    text += random() % 20 == 0 ? ".\n" : " ";
  }
  return text;
}

std::string sentences() {
  constexpr const char* kWords[] = {"Replace",  "the",   "sky",   "with",   "a",           "purple",  "sunset,", "keep",
                                    "mountain", "river", "don't", "change", "\"OPEN 24\"", "colour;", "and",     "add"};
  std::mt19937 random(2);
  std::string text;
  while (text.size() < kBytes) {
    text += kWords[random() % std::size(kWords)];
    text += random() % 15 == 0 ? ".\n" : " ";
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) {
    fmt::print(stderr, "usage: bench_tokenizer TOKENIZER_JSON\n");
    return 2;
  }
  fmt::print("load {:.0f} ms\n", milliseconds([&] { const step1x::Tokenizer tokenizer(argv[1]); }));
  const step1x::Tokenizer tokenizer(argv[1]);
  const std::pair<const char*, std::string> texts[] = {
      {"sentences", sentences()},
      {"random latin words", words('a', 'z', 10)},
      {"random Chinese", words(0x4E00, 0x9FFF, 40)},
      {"random BMP", words(0x20, 0xD7FF, 10)},
      {"one letter", std::string(kBytes, 'a')},
      {"spaces", std::string(kBytes, ' ')},
  };
  for (const auto& [name, text] : texts) {
    std::size_t ids = 0;
    const double time = milliseconds([&] { ids = tokenizer.encode(text).size(); });
    fmt::print("{:20} {:.2f} MB -> {:7} ids in {:.0f} ms\n", name, static_cast<double>(text.size()) / 1e6, ids, time);
  }
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
