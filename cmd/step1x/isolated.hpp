// --isolated: a worker of this command's own, in a new directory below the usual one. The worker removes the directory
// when it leaves, and leaves when this process ends.
#pragma once

#include "ipc/client.hpp"

namespace step1x::cli {

// The same options for the new worker. Throws Error(worker_failed) when its directory cannot be made.
ipc::ClientOptions isolated(ipc::ClientOptions options);

}  // namespace step1x::cli
