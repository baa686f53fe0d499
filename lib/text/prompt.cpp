#include "text/prompt.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "base/error.hpp"
#include "base/utf8.hpp"
#include "text/quotes.hpp"

namespace step1x {

namespace {

using Id = Tokenizer::Id;

constexpr std::string_view kPlaceholder = "{prompt}";
constexpr std::string_view kImagePad = "<|image_pad|>";
constexpr std::int64_t kMostTokens = 65'536;  // rows of zeros are made up to max_length
constexpr std::size_t kShownOfValue = 80;     // bytes

// The texts below are input of the released models: every character counts.
constexpr std::string_view kTurns[] = {
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n",
    "<|im_end|>\n<|im_start|>assistant\n",
};
constexpr std::string_view kEnhance =
    "Given a user prompt, generate an \"Enhanced prompt\" that provides detailed visual descriptions suitable for "
    "image "
    "generation. Evaluate the level of detail in the user prompt:\n"
    "- If the prompt is simple, focus on adding specifics about colors, shapes, sizes, textures, and spatial "
    "relationships to create vivid and concrete scenes.\n"
    "- If the prompt is already detailed, refine and enhance the existing details slightly without "
    "overcomplicating.\n\n"
    "Here are examples of how to transform or refine prompts:\n"
    "- User Prompt: A cat sleeping -> Enhanced: A small, fluffy white cat curled up in a round shape, sleeping "
    "peacefully on a warm sunny windowsill, surrounded by pots of blooming red flowers.\n"
    "- User Prompt: A busy city street -> Enhanced: A bustling city street scene at dusk, featuring glowing street "
    "lamps, a diverse crowd of people in colorful clothing, and a double-decker bus passing by towering glass "
    "skyscrapers.\n\n"
    "Please generate only the enhanced description for the prompt below and avoid including any additional commentary "
    "or evaluations:\n"
    "User Prompt:";
constexpr std::string_view kDescribe =
    "Given a reference image and a user editing instruction.\n"
    "You need to understand the information of the reference image and the content of the editing instruction,\n"
    "and then generate a detailed description of the edited target image based on the reference image and the editing "
    "instruction. \n"
    "The description should include the requirements in the editing instruction and try to closely match the content "
    "of the target image.\n"
    "The editing instruction is:";
constexpr std::string_view kPicture = "<|vision_start|><|image_pad|><|vision_end|>";
constexpr std::string_view kLabel = "Picture 1: ";

std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t i = text.find(part); i != std::string_view::npos; i = text.find(part, i + part.size())) ++count;
  return count;
}

std::string chat_text(const PromptConfig& config, std::string_view prompt, std::string_view what) {
  if (count_of(config.chat, kPlaceholder) != 1 || count_of(config.chat, kImagePad) != 1) {
    throw Error::format(ErrorCode::model_missing, "{}: 'text.chat', the model's chat text, needs {} once and {} once",
                        config.origin, kPlaceholder, kImagePad);
  }
  if (const auto bad = find_invalid_utf8(prompt)) {
    throw Error::format(ErrorCode::usage, "{} is not valid UTF-8: byte {} ({:#04x}) does not start a character", what,
                        *bad, static_cast<unsigned char>(prompt[*bad]));
  }
  // The references expand every occurrence, and fail for want of a second picture.
  if (prompt.find(kImagePad) != std::string_view::npos) {
    throw Error::format(ErrorCode::bad_prompt,
                        "{} contains {}, by which the model knows where its picture is: write it in another way", what,
                        kImagePad);
  }
  std::string text = config.chat;
  return text.replace(text.find(kPlaceholder), kPlaceholder.size(), prompt);
}

// The end of a text, for a line of a message: whole words, unless one word is all there is.
std::string last_words(std::string_view text) {
  constexpr std::size_t kBytes = 60;
  constexpr std::string_view kSpace = " \t\r\n";
  text = text.substr(0, text.find_last_not_of(kSpace) + 1);  // npos + 1 is 0
  if (text.size() > kBytes) {
    text = text.substr(text.size() - kBytes);
    while (!text.empty() && (static_cast<unsigned char>(text.front()) & 0xC0) == 0x80) text.remove_prefix(1);
    if (const std::size_t space = text.find_first_of(kSpace); space != std::string_view::npos)
      text.remove_prefix(space);
  }
  std::string words;
  for (const char c : text) {
    const bool space = kSpace.find(c) != std::string_view::npos;
    if (!space || (!words.empty() && words.back() != ' ')) words += space ? ' ' : c;
  }
  return words;
}

struct Ids {
  std::vector<Id> ids;
  std::vector<std::uint8_t> quoted;

  void append(const std::vector<Id>& more, bool is_quoted) {
    ids.insert(ids.end(), more.begin(), more.end());
    quoted.resize(ids.size(), is_quoted);
  }
};

// The text up to the picture as one, what follows the picture cut at its quotation marks.
Ids encode_wrapped(const Tokenizer& tokenizer, const PromptConfig& config, const std::string& text) {
  const Id vision_end = tokenizer.added_id("<|vision_end|>");
  Ids cut;
  for (const QuotePiece& piece : cut_wrapped(text, config.quote_start)) {
    std::vector<Id> ids = tokenizer.encode(piece.text);
    // Not only wrapped pieces: the reference looks at the ends of every piece.
    if (!ids.empty() && ids.front() == config.quote_open_id && ids.back() == config.quote_close_id) {
      ids.erase(ids.begin());
      if (!ids.empty()) ids.pop_back();
    }
    cut.append(ids, piece.quoted);
  }
  const auto from = std::ranges::find(cut.ids, vision_end);
  const std::vector<Id> whole = tokenizer.encode(text);
  const auto to = std::ranges::find(whole, vision_end);
  if (from == cut.ids.end() || to == whole.end()) {
    throw Error::format(
        ErrorCode::model_missing,
        "{}: 'text.chat', the model's chat text, has no <|vision_end|> before its quotation marks count",
        config.origin);
  }
  Ids result;
  result.append({whole.begin(), to}, false);
  const auto skipped = from - cut.ids.begin();
  result.ids.insert(result.ids.end(), from, cut.ids.end());
  result.quoted.insert(result.quoted.end(), cut.quoted.begin() + skipped, cut.quoted.end());
  return result;
}

Ids encode_marked(const Tokenizer& tokenizer, const PromptConfig& config, const std::string& text) {
  Ids result;
  std::size_t position = 0;
  for (const Tokenizer::Part& part : tokenizer.split_added(text)) {
    if (part.id) {
      result.append({*part.id}, false);
    } else {
      const std::size_t start = config.quote_start > position ? config.quote_start - position : 0;
      for (const QuotePiece& piece : cut_marked(part.text, start))
        result.append(tokenizer.encode(piece.text), piece.quoted);
    }
    position += static_cast<std::size_t>(
        std::ranges::count_if(part.text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  }
  return result;
}

}  // namespace

PromptConfig native_prompt() {
  return {.chat = fmt::format("{}{}{}{}{}", kTurns[0], kEnhance, kPicture, kPlaceholder, kTurns[1]),
          .quotes = QuoteStyle::wrapped,
          .quote_start = 156,
          .drop_tokens = 217,
          .max_tokens = 640,
          .pad = true,
          .check_drop = true};
}

PromptConfig diffusers_v1_1_prompt() {
  PromptConfig config = native_prompt();
  config.chat = fmt::format("{}{}{}{}{}{}", kTurns[0], kEnhance, kLabel, kPicture, kPlaceholder, kTurns[1]);
  config.check_drop = false;
  return config;
}

PromptConfig diffusers_v1_2_prompt() {
  return {.chat = fmt::format("{}{} {}{}{}{}", kTurns[0], kDescribe, kPlaceholder, kLabel, kPicture, kTurns[1]),
          .quotes = QuoteStyle::marked,
          .quote_start = kDescribe.size(),
          .drop_tokens = 90,
          .max_tokens = 2048,
          .pad = false,
          .check_drop = false};
}

void apply_overrides(PromptConfig& config, const nlohmann::json& overrides, std::string_view file) {
  config.origin = file;
  const auto take = [&](const char* key, auto& value, std::int64_t least = 0, std::int64_t most = INT32_MAX) {
    if (!overrides.contains(key)) return;
    using Value = std::remove_reference_t<decltype(value)>;
    const nlohmann::json& found = overrides.at(key);
    const bool fits = std::is_same_v<Value, std::string> ? found.is_string()
                      : std::is_same_v<Value, bool>      ? found.is_boolean()
                                                         : found.is_number_integer() && found >= least && found <= most;
    if (!fits) {
      throw Error::format(ErrorCode::model_missing, "{}: 'text.{}' cannot be {}", file, key,
                          found.dump(-1, ' ', /*ensure_ascii=*/true).substr(0, kShownOfValue));
    }
    value = found.get<Value>();
  };
  take("chat", config.chat);
  take("quote_start", config.quote_start);
  take("quote_open_id", config.quote_open_id);
  take("quote_close_id", config.quote_close_id);
  take("drop_tokens", config.drop_tokens, 0, kMostTokens);
  take("max_length", config.max_tokens, 1, kMostTokens);
  take("pad", config.pad);
}

EncodedPrompt encode_prompt(const Tokenizer& tokenizer, const PromptConfig& config, std::string_view prompt,
                            std::size_t image_tokens, std::string_view what) {
  const std::string text = chat_text(config, prompt, what);
  const Ids encoded = config.quotes == QuoteStyle::wrapped ? encode_wrapped(tokenizer, config, text)
                                                           : encode_marked(tokenizer, config, text);
  const Id image_pad = tokenizer.added_id(kImagePad);
  EncodedPrompt result;
  result.ids.reserve(encoded.ids.size() + image_tokens);
  for (std::size_t i = 0; i < encoded.ids.size(); ++i) {
    const std::size_t times = encoded.ids[i] == image_pad ? image_tokens : 1;
    result.ids.insert(result.ids.end(), times, encoded.ids[i]);
    result.quoted.insert(result.quoted.end(), times, encoded.quoted[i]);
  }
  for (const Id id : result.ids) result.attended.push_back(id > 0);

  if (config.check_drop) {
    const auto start = std::ranges::find(result.ids, tokenizer.added_id("<|vision_start|>"));
    const auto fixed = static_cast<std::size_t>(start - result.ids.begin());
    if (fixed != config.drop_tokens + 1) {
      throw Error::format(
          ErrorCode::model_missing,
          "{}: 'text.drop_tokens' is {}, and the tokenizer makes {} tokens of the text before the picture, where it "
          "should be {}: they do not belong together",
          config.origin, config.drop_tokens, fixed, config.drop_tokens + 1);
    }
  }
  if (result.ids.size() <= config.drop_tokens) {
    throw Error::format(ErrorCode::model_missing,
                        "{}: 'text.drop_tokens' is {}, and the chat text has {} tokens in all", config.origin,
                        config.drop_tokens, result.ids.size());
  }
  result.drop = config.drop_tokens;
  result.whole = result.ids.size() - config.drop_tokens;
  result.kept = std::min(result.whole, config.max_tokens);
  result.length = config.pad ? config.max_tokens : result.kept;
  return result;
}

std::optional<PromptCut> find_cut(const Tokenizer& tokenizer, const EncodedPrompt& prompt) {
  if (prompt.whole <= prompt.kept) return std::nullopt;
  const std::span<const Id> kept = std::span(prompt.ids).subspan(prompt.drop, prompt.kept);
  // Where the picture comes first, the chat text's own words before it are not the prompt's.
  const auto picture = std::find(kept.rbegin(), kept.rend(), tokenizer.added_id(kImagePad));
  return PromptCut{prompt.whole, prompt.kept, last_words(tokenizer.decode({picture.base(), kept.end()}))};
}

}  // namespace step1x
