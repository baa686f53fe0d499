// From configuration and environment to what the worker's client needs.
#pragma once

#include "commands.hpp"
#include "config/config.hpp"
#include "ipc/client.hpp"

namespace step1x::cli {

config::Loaded load_settings(const Context& context);

// Where this user's worker is. Inside a Slurm job that is the job's own, and it ends with the job (lib/README.md,
// Starting and meeting).
ipc::ClientOptions client_options(const config::Settings& settings, const Context& context);

// {offload_delay, idle_timeout, ... } in milliseconds, as protocol.md section 4 wants them.
ipc::Json timers(const config::Settings& settings);

}  // namespace step1x::cli
