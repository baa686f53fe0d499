// Prints what flags.py compares with the manual: every command and option by walking the parser itself, and the tables
// of settings, exit codes and error codes, as one JSON object.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "cmd/step1x/commands.hpp"
#include "config/config.hpp"
#include "request/parameters.hpp"

using namespace step1x;

namespace {

using Json = nlohmann::ordered_json;

// CLI11 joins the type and its checks: "N:INT in [1 - 1000]".
std::string type_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  return type.substr(0, type.find(':'));
}

// "1 - 1000" of the same; empty: none.
std::string range_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const auto open = type.find(" in [");
  return open == std::string::npos ? "" : type.substr(open + 5, type.find(']', open) - open - 5);
}

Json option_json(const CLI::Option& option) {
  Json names = Json::array();
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  std::string value = option.get_items_expected_max() == 0 ? "" : type_of(option);
  if (!value.empty() && option.get_items_expected_min() == 0) value = "[" + value + "]";
  return {{"names", names},
          {"value", value},
          {"positional", option.get_positional()},
          {"range", range_of(option)},
          {"help", option.get_description()}};
}

void walk(CLI::App& app, const std::string& name, Json& commands) {
  Json options = Json::array();
  for (const CLI::Option* option : app.get_options()) options.push_back(option_json(*option));
  const auto below = app.get_subcommands([](const CLI::App*) { return true; });
  commands.push_back({{"name", name}, {"group", !below.empty()}, {"options", options}});
  for (CLI::App* command : below) walk(*command, name + (name.empty() ? "" : " ") + command->get_name(), commands);
}

Json settings_json() {
  Json list = Json::array();
  const config::Loaded loaded = config::load("/dev/null");
  for (std::size_t i = 0; i < config::keys().size(); ++i) {
    const config::Key& key = config::keys()[i];
    const config::Entry& entry = loaded.entries.at(i);
    if (entry.source != "default") throw std::runtime_error("unset " + entry.source + " first");
    Json environment = Json::array({key.environment});
    if (!key.alias.empty()) environment.push_back(key.alias);
    list.push_back({{"name", key.name}, {"type", key.type}, {"default", entry.value}, {"environment", environment}});
  }
  return list;
}

Json parameters_json() {
  Json list = Json::array();
  for (const request::Parameter& row : request::parameters()) {
    const bool limited = row.type == request::Type::integer || row.type == request::Type::number;
    list.push_back({{"name", row.name},
                    {"expected", request::expected(row)},
                    {"low", limited ? Json(row.low) : Json()},
                    {"high", limited ? Json(row.high) : Json()},
                    {"words", row.words},
                    {"most_bytes", row.most_bytes},
                    {"required", row.presence == request::Presence::required},
                    {"fallback", request::fallback(row)}});
  }
  return list;
}

Json errors_json() {
  Json list = Json::array();
  for (int i = 0; i <= static_cast<int>(ErrorCode::protocol); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    list.push_back({{"name", name(code)}, {"exit", static_cast<int>(exit_code(code))}, {"retryable", retryable(code)}});
  }
  return list;
}

}  // namespace

int main() {
  CLI::App app;
  cli::Context context;
  cli::define(app, context);
  Json commands = Json::array();
  walk(app, "", commands);
  const Json all = {{"commands", commands},
                    {"settings", settings_json()},
                    {"parameters", parameters_json()},
                    {"errors", errors_json()}};
  std::puts(all.dump(2).c_str());
}
