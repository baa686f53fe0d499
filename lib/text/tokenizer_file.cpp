#include "text/tokenizer_file.hpp"

#include <fmt/format.h>

#include <boost/unordered/unordered_flat_map.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "base/error.hpp"

namespace step1x {

namespace {

using nlohmann::json;
using Id = BpeModel::Id;
// A view into TokenizerEvents::text.
struct Slice {
  std::uint32_t begin;
  std::uint32_t length;
};

[[noreturn]] void fail(const std::string& file, const std::string& reason) {
  throw Error::format(ErrorCode::model_missing, "{}: cannot be used as the tokenizer: {}", file, reason);
}

// Receives the parser's events. model.vocab and model.merges, which are nearly the whole file, go into flat arrays;
// everything else becomes an ordinary JSON value.
class TokenizerEvents : public nlohmann::json_sax<json> {
 public:
  explicit TokenizerEvents(const std::string& file) : file_(file) {}

  json rest;
  std::string text;  // all vocabulary and merge strings, end to end
  std::vector<std::pair<Slice, Id>> vocabulary;
  std::vector<Slice> merge_parts;  // a merge is two, or one "left right" of the older form
  bool merges_are_pairs = false;

  std::string_view view(Slice slice) const { return std::string_view(text).substr(slice.begin, slice.length); }

  bool null() override { return value(nullptr); }
  bool boolean(bool v) override { return value(v); }
  bool number_integer(number_integer_t v) override { return value(v); }
  bool number_float(number_float_t v, const string_t&) override { return value(v); }
  bool binary(binary_t&) override { return false; }

  bool number_unsigned(number_unsigned_t v) override {
    if (part_ != Part::vocabulary) return value(v);
    if (v > INT32_MAX) fail(file_, fmt::format("id {} is too large", v));
    vocabulary.emplace_back(token_, static_cast<Id>(v));
    return true;
  }

  bool string(string_t& v) override {
    if (part_ != Part::merges) return value(v);
    if (merges_are_pairs && !in_pair_) fail(file_, "a merge does not have two parts");
    merge_parts.push_back(keep(v));
    return true;
  }

  bool start_object(std::size_t) override {
    if (part_ != Part::none) return unexpected();
    if (key_ == "vocab" && stack_.size() == 2 && in_model_) {
      part_ = Part::vocabulary;
      return true;
    }
    if (stack_.size() == 1) in_model_ = key_ == "model";
    return open(json::object());
  }

  bool start_array(std::size_t) override {
    if (part_ == Part::merges && !in_pair_) {
      if (!merges_are_pairs && !merge_parts.empty()) fail(file_, "a merge does not have two parts");
      in_pair_ = merges_are_pairs = true;
      pair_begin_ = merge_parts.size();
      return true;
    }
    if (part_ != Part::none) return unexpected();
    if (key_ == "merges" && stack_.size() == 2 && in_model_) {
      part_ = Part::merges;
      return true;
    }
    return open(json::array());
  }

  bool key(string_t& v) override {
    if (part_ == Part::vocabulary) {
      token_ = keep(v);
    } else {
      key_ = v;
    }
    return true;
  }

  bool end_object() override {
    if (part_ == Part::vocabulary) {
      part_ = Part::none;
      key_.clear();
      return true;
    }
    return close();
  }

  bool end_array() override {
    if (in_pair_) {
      if (merge_parts.size() != pair_begin_ + 2) fail(file_, "a merge does not have two parts");
      in_pair_ = false;
      return true;
    }
    if (part_ == Part::merges) {
      part_ = Part::none;
      key_.clear();
      return true;
    }
    return close();
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail(file_, fmt::format("it is not JSON, at byte {}; get the file again", position));
  }

 private:
  enum class Part { none, vocabulary, merges };

  Slice keep(const std::string& v) {
    const Slice slice{static_cast<std::uint32_t>(text.size()), static_cast<std::uint32_t>(v.size())};
    text += v;
    return slice;
  }

  json* add(json v) {
    if (stack_.empty()) {
      rest = std::move(v);
      return &rest;
    }
    json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(v));
      return &parent.back();
    }
    return &(parent[key_] = std::move(v));
  }

  bool value(json v) {
    if (part_ != Part::none) return unexpected();
    add(std::move(v));
    return true;
  }

  bool open(json container) {
    constexpr std::size_t kMaxDepth = 64;  // copies of values go as deep as they are nested
    if (stack_.size() >= kMaxDepth) fail(file_, fmt::format("it is nested more than {} levels deep", kMaxDepth));
    stack_.push_back(add(std::move(container)));
    key_.clear();
    return true;
  }

  bool close() {
    stack_.pop_back();
    key_.clear();
    return true;
  }

  bool unexpected() const {
    fail(file_, part_ == Part::merges ? "'merges' holds something that is not a merge"
                                      : "'vocab' holds something that is not an id");
  }

  const std::string& file_;
  std::vector<json*> stack_;
  std::string key_;
  Slice token_{};
  Part part_ = Part::none;
  bool in_model_ = false;
  bool in_pair_ = false;
  std::size_t pair_begin_ = 0;
};

// The alphabet in which byte-level vocabularies are written: printable bytes stand for themselves, the other 68 for the
// characters from U+0100 on. (GPT-2's table.)
std::string byte_symbol(unsigned byte) {
  const auto printable = [](unsigned b) {
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
  };
  unsigned code = byte;
  if (!printable(byte)) {
    code = 0x100;
    for (unsigned b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

// A value as it is put into a message.
std::string brief(const json& value) {
  constexpr std::size_t kShown = 80;
  return value.dump(-1, ' ', /*ensure_ascii=*/true).substr(0, kShown);
}

// A field that must have this value (or, where `or_absent`, be missing, null or empty).
void require(const std::string& file, const json& object, std::string_view where, const char* field, const json& wanted,
             bool or_absent = false) {
  const json found = object.is_object() ? object.value(field, json()) : json();
  if (found == wanted) return;
  if (or_absent && (found.is_null() || found == "")) return;
  fail(file, fmt::format("'{}.{}' is {}, and only {} is supported", where, field, brief(found), wanted.dump()));
}

// Qwen2's and Qwen2.5's. Another one could take for ever on a short text, as (a+)+$ does, and would be another
// tokenizer in any case.
constexpr std::string_view kKnownPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// The splitting pattern, after checking that nothing else is asked for.
std::string checked_pattern(const std::string& file, const json& rest) {
  require(file, rest.value("normalizer", json()), "normalizer", "type", "NFC");
  const json pre = rest.value("pre_tokenizer", json());
  require(file, pre, "pre_tokenizer", "type", "Sequence");  // so it is an object
  const json steps = pre.value("pretokenizers", json::array());
  if (!steps.is_array() || steps.size() != 2) fail(file, "'pre_tokenizer' is not a Split and a ByteLevel");
  require(file, steps[0], "pretokenizers[0]", "type", "Split");
  require(file, steps[0], "pretokenizers[0]", "behavior", "Isolated");
  require(file, steps[0], "pretokenizers[0]", "invert", false);
  require(file, steps[1], "pretokenizers[1]", "type", "ByteLevel");
  require(file, steps[1], "pretokenizers[1]", "add_prefix_space", false);
  require(file, steps[1], "pretokenizers[1]", "use_regex", false);
  const json model = rest.value("model", json());
  require(file, model, "model", "type", "BPE");
  require(file, model, "model", "dropout", nullptr, true);
  require(file, model, "model", "unk_token", nullptr, true);
  require(file, model, "model", "continuing_subword_prefix", nullptr, true);
  require(file, model, "model", "end_of_word_suffix", nullptr, true);
  require(file, model, "model", "byte_fallback", false, true);
  require(file, model, "model", "ignore_merges", false, true);
  const json pattern = steps[0].value("pattern", json());
  if (!pattern.is_object() || !pattern.contains("Regex") || !pattern["Regex"].is_string()) {
    fail(file, "'pretokenizers[0].pattern' is not a Regex");
  }
  if (pattern["Regex"] != kKnownPattern) {
    fail(file, fmt::format("'pretokenizers[0].pattern.Regex' is {}, and only the splitting pattern of Qwen2 is known",
                           brief(pattern["Regex"])));
  }
  return pattern["Regex"].get<std::string>();
}

std::vector<AddedToken> checked_added(const std::string& file, const json& rest) {
  std::vector<AddedToken> result;
  const json tokens = rest.value("added_tokens", json::array());
  if (!tokens.is_array()) fail(file, "'added_tokens' is not a list");
  for (const json& token : tokens) {
    for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"}) {
      require(file, token, "added_tokens", flag, false, true);
    }
    if (!token.is_object()) fail(file, "'added_tokens' holds something that is not an object");
    const json content = token.value("content", json());
    const json id = token.value("id", json());
    if (!content.is_string() || content == "" || !id.is_number_unsigned() || id > INT32_MAX) {
      fail(file, fmt::format("added token {} has no content or id", brief(token)));
    }
    result.push_back({content.get<std::string>(), id.get<Id>()});
  }
  return result;
}

// All of a file. A path that is not a regular file has no size to go by, so it is refused first.
std::string read_whole(const std::filesystem::path& path) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) throw Error::format(ErrorCode::model_missing, "{}: cannot open: {}", path.string(), error.message());
  if (size > UINT32_MAX)
    throw Error::format(ErrorCode::model_missing, "{}: larger than 4 GB, so no tokenizer", path.string());
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error::format(ErrorCode::model_missing, "{}: cannot open: {}", path.string(), errno_text());
  std::string content(size, '\0');
  in.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (!in) throw Error::format(ErrorCode::model_missing, "{}: cannot read: {}", path.string(), errno_text());
  return content;
}

BpeModel build_bpe(const std::string& file, const TokenizerEvents& events) {
  boost::unordered_flat_map<std::string_view, Id, std::hash<std::string_view>> ids;
  ids.reserve(events.vocabulary.size());
  for (const auto& [token, id] : events.vocabulary) ids[events.view(token)] = id;
  const auto id_of = [&](std::string_view token) {
    const auto found = ids.find(token);
    if (found == ids.end()) fail(file, fmt::format("'{}' is used in a merge and is not in the vocabulary", token));
    return found->second;
  };

  std::array<Id, 256> byte_ids{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    const auto found = ids.find(byte_symbol(byte));
    if (found == ids.end()) fail(file, fmt::format("byte {:#04x} is not in the vocabulary", byte));
    byte_ids[byte] = found->second;
  }

  BpeModel bpe(byte_ids);
  const std::size_t count = events.merges_are_pairs ? events.merge_parts.size() / 2 : events.merge_parts.size();
  bpe.reserve(count);
  std::string joined;
  for (std::size_t i = 0; i < count; ++i) {
    std::string_view left;
    std::string_view right;
    if (events.merges_are_pairs) {
      left = events.view(events.merge_parts[2 * i]);
      right = events.view(events.merge_parts[2 * i + 1]);
    } else {
      const std::string_view both = events.view(events.merge_parts[i]);
      const std::size_t space = both.find(' ');
      if (space == std::string_view::npos) fail(file, fmt::format("merge '{}' does not have two parts", both));
      left = both.substr(0, space);
      right = both.substr(space + 1);
    }
    joined.assign(left).append(right);
    bpe.add_merge(id_of(left), id_of(right), id_of(joined));
  }
  return bpe;
}

}  // namespace

TokenizerFile read_tokenizer_file(const std::filesystem::path& path) {
  const std::string file = path.string();
  const std::string content = read_whole(path);
  TokenizerEvents events(file);
  events.text.reserve(content.size());
  json::sax_parse(content, &events);
  if (!events.rest.is_object()) fail(file, "it is not a JSON object");
  std::string pattern = checked_pattern(file, events.rest);
  std::vector<AddedToken> added = checked_added(file, events.rest);
  return {std::move(pattern), std::move(added), build_bpe(file, events)};
}

}  // namespace step1x
