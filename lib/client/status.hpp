// What the worker says of itself, as `step1x gpu status --json` and the HTTP door tell it. Starts nothing and resets no
// timer. Any thread; blocks.
#pragma once

#include <nlohmann/json.hpp>

#include "ipc/client.hpp"

namespace step1x::client {

// With the keys of protocol.md, section 6, those that monitoring scripts of the Python server know first. Where no
// worker runs: what one would say that has just started, with `worker` null. Throws Error(timeout) after
// options.timeout.
nlohmann::ordered_json read_status(const ipc::ClientOptions& options);

}  // namespace step1x::client
