// The requests that move the model or end the worker, and may have to wait for a job. Any thread; blocks.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "ipc/client.hpp"

namespace step1x::client {

enum class Move { offload, release, shutdown };
enum class MoveMode {
  refuse,  // while jobs or leases are in the way
  wait,    // until they have ended
  force,   // cancels them; a worker that does not answer for ten seconds is ended
};

// As the protocol has it.
std::string_view name(Move move);

// True: done; false: no worker runs, so there was nothing to do. Throws Busy (client/ask.hpp) where `refuse` met work.
// `ended` hears, in a line, of a worker that did not answer.
bool move(Move what, MoveMode mode, ipc::ClientOptions options, const std::function<void(const std::string&)>& ended);

}  // namespace step1x::client
