// The tokenizers of tests/golden, read once.
#pragma once

#include "support/golden.hpp"
#include "text/tokenizer.hpp"

namespace step1x::test {

// The whole vocabulary of Qwen2.
inline const Tokenizer& full_tokenizer() {
  static const Tokenizer tokenizer(kGolden / "qwen2-tokenizer/tokenizer.json");
  return tokenizer;
}

// The first 4096 of its tokens.
inline const Tokenizer& small_tokenizer() {
  static const Tokenizer tokenizer(kGolden / "tokenizer-4096/tokenizer.json");
  return tokenizer;
}

}  // namespace step1x::test
