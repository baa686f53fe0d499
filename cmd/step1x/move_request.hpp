// The requests that move the model or end the worker, from the command line: offload, release, shutdown.
#pragma once

#include "client/move.hpp"
#include "commands.hpp"

namespace step1x::cli {

// --wait and --force. REQUIRES: mode outlives the command.
void add_mode_flags(CLI::App& command, client::MoveMode& mode);

// True: done; false: no worker runs, so there was nothing to do. Throws Error(busy) when a job is in the way.
bool move_request(client::Move what, client::MoveMode mode, const Context& context);

}  // namespace step1x::cli
