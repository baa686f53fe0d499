// What a worker changes about its own process before anything else, so that nothing of the client that happened to
// start it shows: niceness, limits, processors, file mode mask (lib/README.md, One edit). Called once, before any
// thread.
#pragma once

#include <string>
#include <vector>

namespace step1x {

// Throws Error(worker_failed) when the process is niced, or limited in what it needs, and may not undo it: whoever
// comes later would be served so. `is_private`: nobody else will come, so it may stay so. Returns what else stays of
// who started it, in words: limits, and the limit of its memory group.
std::vector<std::string> own_process(bool is_private);

}  // namespace step1x
