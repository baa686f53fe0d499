// The parameters of a job, each in one row of one table: what it is called, what may be said, where, and whether it
// decides what the picture is. Flags, settings, a manifest's columns, a model's own defaults, the members of a request
// (ipc/protocol.md, section 4), the record of a result, its XMP and the stamp of a batch are all read off it. What a
// parameter does is not here. Pure data; any thread.
//
// A value is `written` as a user has it ("20G", "10m", 28) or `sent` as a request has it (bytes, milliseconds, 28).
// Both are JSON; null stands for "not given".
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace step1x::request {

using Json = nlohmann::json;
// Keeps the order of the table, which is that of a batch's stamps.
using OrderedJson = nlohmann::ordered_json;

enum class Type {
  text,
  word,  // one of a few
  integer,
  number,
  boolean,
  size,         // of memory; bytes when sent
  signed_size,  // the same, negative for what to leave; "" is the same as not given
  duration,     // milliseconds when sent; written negative, the longest that there is
};

enum class Presence {
  required,        // a request has it
  sent,            // every client of ours sends it; a request without has the fallback
  unless_default,  // where it is the fallback it leaves no trace: not in a request, a record, a picture or a stamp
};

struct Parameter {
  std::string_view name;
  Type type = Type::text;
  Presence presence = Presence::unless_default;
  double low = 0;  // of numbers as they are sent
  double high = 0;
  std::size_t most_bytes = 0;  // of text
  std::span<const std::string_view> words = {};
  std::variant<std::monostate, std::string_view, std::int64_t, double, bool> fallback = {};
  // Where it may be said. No flags: none, or one that means more than the parameter, which its command makes.
  std::string_view flags = {};
  std::string_view value_name = {};  // of its flag in --help: SIZE
  std::string_view help = {};        // of flag and setting
  bool setting = false;              // in the configuration file and as STEP1X_NAME
  bool column = false;               // of a manifest
  bool of_model = false;             // in the files of a model, which may have defaults of its own
  bool picture = false;              // decides what the picture is
  bool needs_input = false;          // means nothing where a picture is made from words alone
};

std::span<const Parameter> parameters();
// nullptr: there is none of this name.
const Parameter* find(std::string_view name);
// REQUIRES: there is one.
const Parameter& parameter(std::string_view name);

// As it is written; null: none.
Json fallback(const Parameter& parameter);
// "an integer from 16 to 4096", "one of all, early, off".
std::string expected(const Parameter& parameter);
// The text of an environment variable or a table's cell as a written value; what is none stays text, for to_sent() to
// refuse.
Json value_of_text(const Parameter& parameter, const std::string& text);

// Throws Error(usage): "<where>: <value> is not an integer from 16 to 4096".
Json to_sent(const Parameter& parameter, const Json& written, std::string_view where);

// Each parameter of a request: that it is there if it must be, and what it may be. Throws Error(usage) that names it.
void check(const Json& request);

// Sets a parameter of a request, or removes it: what is the fallback leaves no trace if the table says so. `sent`: or
// null.
void set(Json& request, const Parameter& parameter, const Json& sent);

// Those of a request's parameters that decide the picture, as XMP and stamps have them. `with_input`: the picture is
// not made from words alone.
OrderedJson picture_parameters(const Json& request, bool with_input);
// Those that are in a request, without the others that a request has.
OrderedJson all_parameters(const Json& request, bool with_input);
// The request without those that decide the picture.
Json without_picture(Json request);
// A stamp as it would be written now: older ones may hold a parameter that is the fallback. What no row is called
// stays.
OrderedJson without_defaults(const OrderedJson& stamp);

}  // namespace step1x::request
