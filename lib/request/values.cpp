// What the rows of the table make of values.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/duration.hpp"
#include "base/error.hpp"
#include "base/size.hpp"
#include "base/utf8.hpp"
#include "ipc/fields.hpp"
#include "request/parameters.hpp"

namespace step1x::request {
namespace {

std::string limits(const Parameter& parameter) {
  return fmt::format("from {:.0f} to {:.0f}", parameter.low, parameter.high);
}

// Not as doubles, of which several integers beyond 2^53 are one.
bool is_integer_in_range(const Parameter& parameter, const Json& value) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) return false;
  const auto integer = value.get<std::int64_t>();
  return integer >= static_cast<std::int64_t>(parameter.low) && integer <= static_cast<std::int64_t>(parameter.high);
}

// False for NaN.
bool is_number_in_range(const Parameter& parameter, const Json& value) {
  return value.is_number() && value.get<double>() >= parameter.low && value.get<double>() <= parameter.high;
}

// What a request may hold.
bool fits(const Parameter& parameter, const Json& sent) {
  switch (parameter.type) {
    case Type::text:
      return sent.is_string();
    case Type::word:
      return sent.is_string() &&
             std::ranges::find(parameter.words, sent.get_ref<const std::string&>()) != parameter.words.end();
    case Type::boolean:
      return sent.is_boolean();
    case Type::number:
      return is_number_in_range(parameter, sent);
    case Type::integer:
    case Type::size:
    case Type::signed_size:
    case Type::duration:
      break;
  }
  return is_integer_in_range(parameter, sent);
}

// Of a value that is of the type, what is wrong with it all the same.
void check_text(const Parameter& parameter, const Json& sent, std::string_view where) {
  if (!sent.is_string()) return;
  const auto& text = sent.get_ref<const std::string&>();
  // The JSON library would put a replacement character for every wrong byte: another prompt than the one given.
  if (find_invalid_utf8(text)) throw Error::format(ErrorCode::usage, "{}: not valid UTF-8", where);
  if (text.find('\0') != std::string::npos) throw Error::format(ErrorCode::usage, "{}: a zero byte is in it", where);
  if (parameter.most_bytes > 0 && text.size() > parameter.most_bytes)
    throw Error::format(ErrorCode::usage, "{}: {} bytes long, at most {} are allowed", where, text.size(),
                        parameter.most_bytes);
}

// JSON has no way to write it if it is infinite or none.
std::string shown(const Json& value) {
  const bool strange = value.is_number_float() && !std::isfinite(value.get<double>());
  return strange ? fmt::format("{}", value.get<double>()) : ipc::shown(value);
}

void check_sent(const Parameter& parameter, const Json& sent, std::string_view where) {
  if (!fits(parameter, sent))
    throw Error::format(ErrorCode::usage, "{}: {} is not {}", where, shown(sent), expected(parameter));
  check_text(parameter, sent, where);
}

template <typename T>
Json number_in(const std::string& text) {
  T number{};
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, number);
  return problem == std::errc{} && stop == end ? Json(number) : Json(text);
}

bool leaves_no_trace(const Parameter& parameter, const Json& sent) {
  return sent.is_null() || (parameter.presence == Presence::unless_default && sent == fallback(parameter));
}

template <typename Wanted>
OrderedJson select(const Json& request, bool with_input, Wanted wanted) {
  OrderedJson selected = OrderedJson::object();
  for (const Parameter& parameter : parameters()) {
    const auto found = request.find(parameter.name);
    if (found == request.end() || !wanted(parameter) || (parameter.needs_input && !with_input)) continue;
    if (!leaves_no_trace(parameter, *found)) selected[std::string(parameter.name)] = *found;
  }
  return selected;
}

}  // namespace

Json fallback(const Parameter& parameter) {
  return std::visit(
      [](const auto& value) -> Json {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::monostate>)
          return nullptr;
        else
          return value;
      },
      parameter.fallback);
}

std::string expected(const Parameter& parameter) {
  switch (parameter.type) {
    case Type::text:
      return "a string";
    case Type::word:
      return fmt::format("one of {}", fmt::join(parameter.words, ", "));
    case Type::integer:
      return "an integer " + limits(parameter);
    case Type::number:
      return "a number " + limits(parameter);
    case Type::boolean:
      return "true or false";
    case Type::size:
    case Type::signed_size:
      return "a size in bytes";
    case Type::duration:
      break;
  }
  return "a time in milliseconds";
}

Json value_of_text(const Parameter& parameter, const std::string& text) {
  if (parameter.type == Type::integer) return number_in<std::int64_t>(text);
  if (parameter.type == Type::number) return number_in<double>(text);
  if (parameter.type == Type::boolean && (text == "true" || text == "1")) return true;
  if (parameter.type == Type::boolean && (text == "false" || text == "0")) return false;
  return text;
}

Json to_sent(const Parameter& parameter, const Json& written, std::string_view where) {
  if (written.is_null()) return nullptr;
  const std::string text = written.is_string() ? written.get<std::string>() : written.dump();
  Json sent = written;
  switch (parameter.type) {
    case Type::size:
      sent = parse_size(text, where);
      break;
    case Type::signed_size:
      if (text.empty()) return nullptr;
      sent = parse_signed_size(text, where);
      break;
    case Type::duration: {
      const Duration duration = parse_duration(text, where);
      sent = (duration < Duration::zero() ? kLongestDuration : duration).count();
      break;
    }
    case Type::number:
      check_sent(parameter, written, where);
      // 7 and 7.0 are one value, also in a stamp.
      return written.get<double>();
    case Type::text:
    case Type::word:
    case Type::integer:
    case Type::boolean:
      break;
  }
  check_sent(parameter, sent, where);
  return sent;
}

void check(const Json& request) {
  for (const Parameter& parameter : parameters()) {
    const auto found = request.find(parameter.name);
    const bool given = found != request.end() && !found->is_null();
    if (given) check_sent(parameter, *found, parameter.name);
    if (!given && parameter.presence == Presence::required)
      throw Error::format(ErrorCode::usage, "{}: missing", parameter.name);
  }
}

void set(Json& request, const Parameter& parameter, const Json& sent) {
  const std::string name(parameter.name);
  if (leaves_no_trace(parameter, sent))
    request.erase(name);
  else
    request[name] = sent;
}

OrderedJson picture_parameters(const Json& request, bool with_input) {
  return select(request, with_input, [](const Parameter& parameter) { return parameter.picture; });
}

OrderedJson all_parameters(const Json& request, bool with_input) {
  return select(request, with_input, [](const Parameter&) { return true; });
}

Json without_picture(Json request) {
  for (const Parameter& parameter : parameters()) {
    if (parameter.picture) request.erase(std::string(parameter.name));
  }
  return request;
}

OrderedJson without_defaults(const OrderedJson& stamp) {
  OrderedJson kept = OrderedJson::object();
  for (const auto& [name, value] : stamp.items()) {
    const Parameter* parameter = find(name);
    if (parameter == nullptr || !leaves_no_trace(*parameter, value)) kept[name] = value;
  }
  return kept;
}

}  // namespace step1x::request
