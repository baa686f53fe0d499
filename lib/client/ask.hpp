// One request and its one answer, for the commands that have no job. As thread-safe as the ipc::Client it is given:
// one thread at a time.
#pragma once

#include <optional>

#include "base/error.hpp"
#include "ipc/client.hpp"

namespace step1x::client {

// nullopt: the worker is leaving, or gone, and has not answered. Throws Error(timeout) at the deadline, and what the
// worker answers as an error.
std::optional<ipc::Json> ask(ipc::Client& client, const ipc::Json& request, ipc::Deadline deadline = std::nullopt);

// The Error that an `error` event carries.
Error error_of(const ipc::Json& event);

}  // namespace step1x::client
