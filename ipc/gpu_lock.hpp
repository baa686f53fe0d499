// Keeps workers of one user from bringing their models to the same GPU at the same time, be they private ones, those of
// Slurm jobs or of containers that share the home: cooperation, not protection, for other users' programs know nothing
// of it. A lock per GPU in one directory of the user's, whatever host and the worker's own directory are.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "ipc/lock.hpp"

namespace step1x::ipc {

// Waits for the GPU of this UUID, at most for `patience`, and calls `check` ten times a second meanwhile, which may
// throw. nullopt: somebody has it still, or the lock cannot be made; a line on standard error says which.
// `where`: ~/.local/state/step1x/gpus by default.
std::optional<Lock> lock_gpu(const std::string& uuid, std::chrono::milliseconds patience,
                             const std::function<void()>& check, Directory::Options where = {});

}  // namespace step1x::ipc
