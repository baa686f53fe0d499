// From a prompt and a picture's size to what the text encoder reads: token ids, which of them it may attend to, and how
// many rows of its output are kept. Pure functions of (tokenizer, configuration, prompt); no picture is touched here.
//
// The three released forms differ in the chat text, in how quoted words are cut into characters, and in what is
// dropped. All of that is data (PromptConfig), so that another model of the same family needs no new code. Errors:
// Error(bad_prompt) for a prompt that has a marker of the model's, Error(usage) for one that is not UTF-8,
// Error(model_missing) for a tokenizer that does not fit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.hpp"

namespace step1x {

// How the characters between quotation marks get tokens of their own.
enum class QuoteStyle {
  // v1.0, v1.1: ' and curly double quotes count as ". Each quoted character is wrapped in curly quotes and tokenized
  // alone; the wrapping's ids are removed again where they are tokens of their own.
  wrapped,
  // v1.2: only "..." and U+201C...U+201D, each closed by its own kind. Characters are tokenized bare and marked in
  // EncodedPrompt::quoted.
  marked,
};

struct PromptConfig {
  // The whole chat text, with "{prompt}" once and <|image_pad|> once.
  std::string chat;
  QuoteStyle quotes = QuoteStyle::wrapped;
  // Quotation marks count from this character (code point) of the chat text on.
  std::size_t quote_start = 0;
  // The wrapping that QuoteStyle::wrapped removes.
  Tokenizer::Id quote_open_id = 2073;
  Tokenizer::Id quote_close_id = 854;
  // Rows of the encoder's output that are dropped at the start, and how many are kept after that at most.
  std::size_t drop_tokens = 0;
  std::size_t max_tokens = 0;
  // Kept rows are followed by rows of zeros up to max_tokens.
  bool pad = true;
  // drop_tokens must leave one token before <|vision_start|>: a tokenizer with another vocabulary needs another number.
  bool check_drop = false;
  // Where it comes from, for messages.
  std::string origin = "the released model";
};

// The native code's, with transformers 4.51, which puts no label before the picture:
// https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/conditioner.py
PromptConfig native_prompt();
// Those of Step1XEditPipeline and Step1XEditPipelineV1P2, with transformers 4.55, which puts the label there:
// https://github.com/Peyton-Chen/diffusers/tree/16900b755f21/src/diffusers/pipelines/step1x_edit
PromptConfig diffusers_v1_1_prompt();
PromptConfig diffusers_v1_2_prompt();

// Replaces what `overrides` names: "chat", "quote_start", "quote_open_id", "quote_close_id", "drop_tokens",
// "max_length", "pad". Other keys are left to others. `file` is their origin.
void apply_overrides(PromptConfig& config, const nlohmann::json& overrides, std::string_view file);

struct EncodedPrompt {
  std::vector<Tokenizer::Id> ids;      // with <|image_pad|> as often as the picture has tokens
  std::vector<std::uint8_t> attended;  // 0 where the id is 0 ("!"), which the references take for padding
  std::vector<std::uint8_t> quoted;    // QuoteStyle::marked: 1 for a quoted character
  std::size_t drop = 0;                // rows [drop, drop + kept) of the encoder's output are used,
  std::size_t kept = 0;
  std::size_t length = 0;  // and followed by zeros up to this many
  // Rows that there would be without max_tokens: more than `kept` if the end was cut off.
  std::size_t whole = 0;
};

// `image_tokens` is how many tokens the picture takes (a quarter of its patches); `what` is for messages.
EncodedPrompt encode_prompt(const Tokenizer& tokenizer, const PromptConfig& config, std::string_view prompt,
                            std::size_t image_tokens, std::string_view what = "the prompt");

// What max_tokens has left of a prompt.
struct PromptCut {
  std::size_t tokens = 0;  // rows that it has: its own, and the picture's with what stands around them
  std::size_t kept = 0;
  std::string after;  // its last words that are kept; empty: none, or the picture that follows them is cut too
};
// None for a prompt that is whole.
std::optional<PromptCut> find_cut(const Tokenizer& tokenizer, const EncodedPrompt& prompt);

}  // namespace step1x
