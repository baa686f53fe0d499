// Typed, range-checked access to the members of a received object. The JSON library would convert 1e300 to an int
// without a word. Holds a reference; as short-lived as the message. Throws Error(usage) that names the member, its
// value and what is allowed.
#pragma once

#include <cstdint>
#include <string>

#include "ipc/frame.hpp"

namespace step1x::ipc {

// A received value as an error shows it to people: its JSON on one line, enough to recognise it, control characters
// escaped.
std::string shown(const Json& value);

class Fields {
 public:
  explicit Fields(const Json& body) : body_(body) {}

  bool has(const char* key) const;
  std::int64_t integer(const char* key, std::int64_t low, std::int64_t high) const;
  std::int64_t integer_or(const char* key, std::int64_t low, std::int64_t high, std::int64_t fallback) const;
  double number(const char* key, double low, double high) const;
  // At most max_bytes long; longer is an error, not cut.
  std::string text(const char* key, std::size_t max_bytes = 65'536) const;
  std::string text(const char* key, const char* fallback, std::size_t max_bytes = 65'536) const;
  bool boolean(const char* key, bool fallback) const;

 private:
  const Json& member(const char* key) const;

  const Json& body_;
};

}  // namespace step1x::ipc
