#include "text/pretokenize.hpp"

#include "base/error.hpp"

namespace step1x {

namespace {

void check(UErrorCode status, std::string_view doing) {
  if (U_FAILURE(status)) throw Error::format(ErrorCode::failure, "ICU failed to {}: {}", doing, u_errorName(status));
}

}  // namespace

Normalizer::Normalizer() {
  UErrorCode status = U_ZERO_ERROR;
  unicode9_.applyPattern(icu::UnicodeString(u"[:age=9.0:]"), status);
  unicode9_.freeze();
  const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(status);
  check(status, "set up NFC");
  nfc_ = std::make_unique<icu::FilteredNormalizer2>(*nfc, unicode9_);
}

icu::UnicodeString Normalizer::normalize(const icu::UnicodeString& text) const {
  UErrorCode status = U_ZERO_ERROR;
  icu::UnicodeString result;
  nfc_->normalize(text, result, status);
  check(status, "normalize text");
  return result;
}

Splitter::Splitter(std::string_view pattern, std::string_view file) {
  UErrorCode status = U_ZERO_ERROR;
  UParseError where{};
  pattern_.reset(icu::RegexPattern::compile(
      icu::UnicodeString::fromUTF8({pattern.data(), static_cast<std::int32_t>(pattern.size())}), where, status));
  if (U_FAILURE(status)) {
    throw Error::format(ErrorCode::model_missing, "{}: its splitting pattern cannot be used: {} at character {}", file,
                        u_errorName(status), where.offset);
  }
}

void Splitter::split(const icu::UnicodeString& text, const std::function<void(std::string_view)>& piece) const {
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<icu::RegexMatcher> matcher(pattern_->matcher(text, status));
  // ICU remembers every turn of a "+" to be able to go back. Its limit would refuse a run of 300,000 letters, which the
  // reference takes; without it memory is bounded by the text's length.
  matcher->setStackLimit(0, status);
  check(status, "split text");
  std::string utf8;
  std::int32_t done = 0;
  const auto emit_to = [&](std::int32_t end) {
    if (end == done) return;
    utf8.clear();
    text.tempSubStringBetween(done, end).toUTF8String(utf8);
    piece(utf8);
    done = end;
  };
  while (matcher->find(status)) {
    emit_to(matcher->start(status));
    emit_to(matcher->end(status));
  }
  check(status, "split text");
  emit_to(text.length());
}

}  // namespace step1x
