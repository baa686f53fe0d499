#include "ipc/fields.hpp"

#include <cmath>

#include "base/error.hpp"

namespace step1x::ipc {

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  constexpr std::size_t kShown = 60;
  return text.size() > kShown ? text.substr(0, kShown) + "..." : text;
}

bool Fields::has(const char* key) const {
  const auto found = body_.find(key);
  return found != body_.end() && !found->is_null();
}

const Json& Fields::member(const char* key) const {
  if (!has(key)) throw Error::format(ErrorCode::usage, "{}: missing", key);
  return *body_.find(key);
}

std::int64_t Fields::integer(const char* key, std::int64_t low, std::int64_t high) const {
  const Json& value = member(key);
  const bool fits = value.is_number_integer() && (!value.is_number_unsigned() ||
                                                  value.get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX));
  if (!fits || value.get<std::int64_t>() < low || value.get<std::int64_t>() > high) {
    throw Error::format(ErrorCode::usage, "{}: {} is not an integer from {} to {}", key, shown(value), low, high);
  }
  return value.get<std::int64_t>();
}

std::int64_t Fields::integer_or(const char* key, std::int64_t low, std::int64_t high, std::int64_t fallback) const {
  return has(key) ? integer(key, low, high) : fallback;
}

double Fields::number(const char* key, double low, double high) const {
  const Json& value = member(key);
  const double number = value.is_number() ? value.get<double>() : NAN;
  if (!(number >= low && number <= high)) {
    throw Error::format(ErrorCode::usage, "{}: {} is not a number from {} to {}", key, shown(value), low, high);
  }
  return number;
}

std::string Fields::text(const char* key, std::size_t max_bytes) const {
  const Json& value = member(key);
  if (!value.is_string()) throw Error::format(ErrorCode::usage, "{}: {} is not a string", key, shown(value));
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() > max_bytes) {
    throw Error::format(ErrorCode::usage, "{}: {} bytes long, at most {} are allowed", key, text.size(), max_bytes);
  }
  return text;
}

std::string Fields::text(const char* key, const char* fallback, std::size_t max_bytes) const {
  return has(key) ? text(key, max_bytes) : fallback;
}

bool Fields::boolean(const char* key, bool fallback) const {
  if (!has(key)) return fallback;
  const Json& value = member(key);
  if (!value.is_boolean()) throw Error::format(ErrorCode::usage, "{}: {} is neither true nor false", key, shown(value));
  return value.get<bool>();
}

}  // namespace step1x::ipc
