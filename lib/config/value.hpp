// A setting's value before its meaning is known, and how it is called when it is wrong.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

namespace step1x::config {

// TOML's types that settings have. From the environment comes text only, see value_of_text().
using Value = std::variant<std::string, std::int64_t, double, bool>;

}  // namespace step1x::config
