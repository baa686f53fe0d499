// From what the user calls a model to what the worker is told.
#pragma once

#include <string>

#include "config/config.hpp"

namespace step1x::cli {

// A folder (made absolute), a name from [models], or "fake:..." as it is. Throws Error(model_missing).
std::string resolve_model(const config::Loaded& loaded);

}  // namespace step1x::cli
