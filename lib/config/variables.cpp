#include "config/variables.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "config/config.hpp"
#include "config/nearest.hpp"

namespace step1x::config {
namespace {

constexpr std::string_view kOurs = "STEP1X_";

// Those that are no setting, and what reads them.
constexpr auto kOthers = std::to_array<std::string_view>({
    "STEP1X_CONFIG",            // config.cpp
    "STEP1X_TORCH_DIR",         // the client, lib/torch.cmake, scripts
    "STEP1X_LOG_TAIL",          // scripts/common.sh
    "STEP1X_TOKEN",             // lib/http/token.cpp
    "STEP1X_LONG",              // the tests
    "STEP1X_SEED",              // the tests
    "STEP1X_TEST_FAULT",        // tests/support/fault_shim.cpp
    "STEP1X_TEST_FAULT_UNDER",  // the same
});

}  // namespace

std::vector<UnknownVariable> unknown_variables(const std::vector<std::string>& environment) {
  // Without what all of them begin with, which would make any two of them look alike.
  std::vector<std::string> known;
  for (const Key& key : keys()) known.push_back(key.environment.substr(kOurs.size()));
  for (const std::string_view name : kOthers) known.emplace_back(name.substr(kOurs.size()));
  std::vector<UnknownVariable> unknown;
  for (const std::string& entry : environment) {
    const std::string name = entry.substr(0, entry.find('='));
    if (!name.starts_with(kOurs)) continue;
    const std::string own = name.substr(kOurs.size());
    if (std::ranges::find(known, own) != known.end()) continue;
    const auto near = nearest(own, known);
    unknown.push_back({name, near ? std::string(kOurs) + known[*near] : ""});
  }
  return unknown;
}

}  // namespace step1x::config
