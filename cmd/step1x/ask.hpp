// One request and its one answer, for the commands that have no job.
#pragma once

#include <optional>

#include "ipc/client.hpp"

namespace step1x::cli {

// nullopt: the worker is leaving, or gone, and has not answered. Throws Error(timeout) at the deadline, and what the
// worker answers as an error.
std::optional<ipc::Json> ask(ipc::Client& client, const ipc::Json& request, ipc::Deadline deadline = std::nullopt);

}  // namespace step1x::cli
