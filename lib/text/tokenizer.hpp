// Text to token ids, as a Hugging Face tokenizer.json of the Qwen2 kind says: added tokens, NFC, a splitting regular
// expression, byte-level BPE. Not a general tokenizers library: a file that asks for anything else is refused by name.
//
// Const after construction; any number of threads may encode at once. Text is UTF-8; NUL is a character like any other.
// Errors: Error(model_missing) for the file, Error(usage) with the byte's offset for text that is not UTF-8.
// The reference is huggingface/tokenizers 0.21 (its Unicode tables are those of Unicode 9: see normalize in
// pretokenize.hpp): https://github.com/huggingface/tokenizers/blob/4d2152ca519a/tokenizers/src/models/bpe/model.rs
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace step1x {

class Tokenizer {
 public:
  using Id = std::int32_t;

  explicit Tokenizer(const std::filesystem::path& tokenizer_json);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // No special tokens are added at the ends. Added tokens that occur in the text become their ids.
  std::vector<Id> encode(std::string_view text) const;

  // The text that ids were made of, without added tokens, and without the rest of a character that they begin or end
  // in the middle of. As it was normalized.
  std::string decode(std::span<const Id> ids) const;

  // The text cut at its added tokens, leftmost and longest first; nothing is left out. `id` is set for an added token.
  struct Part {
    std::string_view text;
    std::optional<Id> id;
  };
  std::vector<Part> split_added(std::string_view text) const;

  // The id of an added token ("<|vision_start|>"), or Error(model_missing) that names it and the file.
  Id added_id(std::string_view content) const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace step1x
