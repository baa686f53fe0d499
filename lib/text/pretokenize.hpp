// What happens to text before BPE: normalization and splitting, both by ICU. Const after construction and safe on any
// thread. Errors: Error(model_missing) for a pattern that ICU refuses.
#pragma once

#include <unicode/normalizer2.h>
#include <unicode/regex.h>
#include <unicode/uniset.h>
#include <unicode/unistr.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace step1x {

// NFC by the tables of Unicode 9.0, which are the reference's: characters that came later are left as they are, also
// where a newer Unicode would reorder them.
class Normalizer {
 public:
  Normalizer();
  icu::UnicodeString normalize(const icu::UnicodeString& text) const;

 private:
  icu::UnicodeSet unicode9_;
  std::unique_ptr<icu::FilteredNormalizer2> nfc_;
};

// Cuts text into the pattern's matches and what lies between them.
class Splitter {
 public:
  // `file` is for messages.
  Splitter(std::string_view pattern, std::string_view file);
  // Calls `piece` with each piece in UTF-8, in order.
  void split(const icu::UnicodeString& text, const std::function<void(std::string_view)>& piece) const;

 private:
  std::unique_ptr<icu::RegexPattern> pattern_;
};

}  // namespace step1x
