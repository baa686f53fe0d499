// What a tokenizer.json holds, read and checked. Internal to lib/text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "text/bpe.hpp"

namespace step1x {

struct AddedToken {
  std::string content;
  BpeModel::Id id;
};

struct TokenizerFile {
  std::string pattern;  // of the pre-tokenizer's Split
  std::vector<AddedToken> added;
  BpeModel bpe;
};

// Throws Error(model_missing).
TokenizerFile read_tokenizer_file(const std::filesystem::path& path);

}  // namespace step1x
