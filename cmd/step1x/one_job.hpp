// One job from the client's side: a conversation with the worker about it alone, and what the user sees of that. One
// thread.
#pragma once

#include "client/conversation.hpp"
#include "progress.hpp"

namespace step1x::cli {

using JobResult = client::Result;

struct JobOptions {
  ipc::ClientOptions client;
  Duration timeout = kNever;  // for everything, the way to the worker included
  bool verbose = false;
};

// `picture`: descriptor of a sealed picture, or -1. Throws Error: what the worker answered; cancelled at a signal;
// timeout; worker_failed when two workers died.
JobResult run_job(const ipc::Json& request, int picture, const JobOptions& options, Progress& progress);

}  // namespace step1x::cli
