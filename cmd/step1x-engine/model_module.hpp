// The model code is a module of its own, loaded when a job needs it: with --fake the engine needs no libtorch, and
// without libtorch it can still say so.
#pragma once

#include <memory>

#include "engine/runner.hpp"

namespace step1x::engine {

// Throws Error(model_missing) when the module or libtorch cannot be loaded.
std::unique_ptr<Runner> load_model_runner();

// The module's one symbol: makes a Runner, which the caller owns.
using MakeRunner = Runner* (*)();
inline constexpr const char* kMakeRunner = "step1x_make_runner";

}  // namespace step1x::engine
