// The one table of settings: what each is called, its type and range, where in Settings it lies, and how it is read and
// written. Thread-safe.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "config/value.hpp"

namespace step1x::config {

// nullptr: no such key.
const Key* find_key(std::string_view name);
// "; did you mean 'steps'?", or where the keys are listed when nothing is near.
std::string suggestion(std::string_view name);

// The text of an environment variable as a value of the key's type; text that is none stays text, for apply() to
// refuse.
Value value_of_text(const Key& key, const std::string& text);

// Sets the key's member of Settings. Throws Error(usage): "<where>: <what is wrong>, with the value".
void apply(const Key& key, const Value& value, std::string_view where, Settings& settings);

// As it would be written in the file.
std::string written(const Key& key, const Settings& settings);
std::string in_quotes(std::string_view text);

}  // namespace step1x::config
