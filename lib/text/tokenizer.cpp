#include "text/tokenizer.hpp"

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>

#include "base/error.hpp"
#include "base/utf8.hpp"
#include "text/pretokenize.hpp"
#include "text/tokenizer_file.hpp"

namespace step1x {

struct Tokenizer::Impl {
  explicit Impl(const std::filesystem::path& path) : Impl(path.string(), read_tokenizer_file(path)) {}
  Impl(std::string path, TokenizerFile content)
      : file(std::move(path)),
        added(std::move(content.added)),
        bpe(std::move(content.bpe)),
        splitter(content.pattern, file) {
    // Longest first, so that the first that matches at a place is the longest.
    std::ranges::stable_sort(added, std::greater<>(), [](const AddedToken& token) { return token.content.size(); });
  }

  std::string file;
  std::vector<AddedToken> added;
  BpeModel bpe;
  Normalizer normalizer;
  Splitter splitter;
};

Tokenizer::Tokenizer(const std::filesystem::path& tokenizer_json) : impl_(std::make_unique<Impl>(tokenizer_json)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<Tokenizer::Part> Tokenizer::split_added(std::string_view text) const {
  std::string first_bytes;
  for (const AddedToken& token : impl_->added) first_bytes += token.content.front();

  std::vector<Part> parts;
  std::size_t begin = 0;  // of the plain text before the next added token
  for (std::size_t i = text.find_first_of(first_bytes); i != std::string_view::npos;
       i = text.find_first_of(first_bytes, i)) {
    const auto match = std::ranges::find_if(
        impl_->added, [&](const AddedToken& token) { return text.substr(i).starts_with(token.content); });
    if (match == impl_->added.end()) {
      ++i;
      continue;
    }
    if (i > begin) parts.push_back({text.substr(begin, i - begin), std::nullopt});
    parts.push_back({text.substr(i, match->content.size()), match->id});
    begin = i += match->content.size();
  }
  if (begin < text.size()) parts.push_back({text.substr(begin), std::nullopt});
  return parts;
}

std::vector<Tokenizer::Id> Tokenizer::encode(std::string_view text) const {
  if (const auto bad = find_invalid_utf8(text)) {
    throw Error::format(ErrorCode::usage, "the text is not valid UTF-8: byte {} ({:#04x}) does not start a character",
                        *bad, static_cast<unsigned char>(text[*bad]));
  }
  std::vector<Id> ids;
  // Ids of pieces met before in this text: words repeat.
  boost::unordered_flat_map<std::string, std::pair<std::size_t, std::size_t>> known;
  const auto encode_piece = [&](std::string_view piece) {
    const std::size_t begin = ids.size();
    const auto [found, is_new] = known.try_emplace(std::string(piece));
    if (is_new) {
      impl_->bpe.encode(piece, ids);
      found->second = {begin, ids.size()};
    } else {
      const auto [from, to] = found->second;
      for (std::size_t i = from; i < to; ++i) ids.push_back(ids[i]);
    }
  };
  for (const Part& part : split_added(text)) {
    if (part.id) {
      ids.push_back(*part.id);
      continue;
    }
    if (part.text.size() > INT32_MAX) throw Error(ErrorCode::usage, "the text is longer than 2 GB");
    const auto utf16 = icu::UnicodeString::fromUTF8({part.text.data(), static_cast<std::int32_t>(part.text.size())});
    impl_->splitter.split(impl_->normalizer.normalize(utf16), encode_piece);
  }
  return ids;
}

std::string Tokenizer::decode(std::span<const Id> ids) const {
  std::vector<Id> plain;
  std::ranges::copy_if(ids, std::back_inserter(plain), [&](Id id) {
    return std::ranges::find(impl_->added, id, &AddedToken::id) == impl_->added.end();
  });
  std::string text = impl_->bpe.decode(plain);
  const auto broken = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
  text.erase(text.begin(), std::ranges::find_if_not(text, broken));
  if (const auto bad = find_invalid_utf8(text)) text.resize(*bad);
  return text;
}

Tokenizer::Id Tokenizer::added_id(std::string_view content) const {
  const auto found = std::ranges::find(impl_->added, content, &AddedToken::content);
  if (found != impl_->added.end()) return found->id;
  throw Error::format(ErrorCode::model_missing, "{}: added token '{}' is missing", impl_->file, content);
}

}  // namespace step1x
