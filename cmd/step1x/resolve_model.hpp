// From what the user calls a model to what the worker is told.
#pragma once

#include <string>

#include "config/config.hpp"

namespace step1x::cli {

// A folder or one of its files (made absolute), a hub id (the snapshot in the local cache), a name from [models],
// "demo" (the model that comes with step1x), or "fake:..." as it is. Throws Error(model_missing).
std::string resolve_model(const config::Loaded& loaded);

// What it is called in a picture that it made: no more of a path than its last part, which tells nothing of whose
// machine it was.
std::string model_label(const config::Loaded& loaded);

}  // namespace step1x::cli
