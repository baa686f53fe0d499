// The requests that move the model or end the worker, and may have to wait for a job: offload, release, shutdown.
#pragma once

#include "commands.hpp"

namespace step1x::cli {

struct MoveMode {
  bool wait = false;
  bool force = false;
};

void add_mode_flags(CLI::App& command, MoveMode& mode);

// Sends it and waits for the answer. True: done; false: no worker runs, so there was nothing to do. Throws Error(busy)
// when a job is in the way.
bool move_request(const char* op, const MoveMode& mode, const Context& context);

}  // namespace step1x::cli
