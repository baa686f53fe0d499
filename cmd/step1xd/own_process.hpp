// What a worker changes about its own process before anything else, so that nothing of the client that happened to
// start it shows: niceness, limits, processors, file mode mask (lib/README.md, One edit). Called once, before any
// thread.
#pragma once

namespace step1x {

// Throws Error(worker_failed) when the process is niced and may not undo it: whoever comes later would be served niced.
// `is_private`: nobody else will come, so it may stay niced.
void own_process(bool is_private);

}  // namespace step1x
