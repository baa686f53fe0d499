// One job from the client's side: connects, sends it, follows its events, cancels it at a signal or when its time is
// over, and sends it to the next worker when the present one goes away. One thread.
#pragma once

#include <chrono>

#include "ipc/client.hpp"
#include "progress.hpp"

namespace step1x::cli {

struct JobResult {
  ipc::Json done;  // the `done` event
  UniqueFd picture;
  ipc::WorkerInfo worker;
  bool spawned = false;  // the worker had to be started
};

struct JobOptions {
  ipc::ClientOptions client;  // its timeout is set from the one below
  Duration timeout = kNever;  // for everything, the way to the worker included
  bool verbose = false;
};

// `picture`: descriptor of a sealed picture, or -1. Throws Error: what the worker answered; cancelled at a signal;
// timeout; worker_failed when two workers died.
JobResult run_job(const ipc::Json& request, int picture, const JobOptions& options, Progress& progress);

}  // namespace step1x::cli
