// What a model's own files want where the user has said nothing: a small model is at its best at another size than the
// released one.
#pragma once

#include <string>

#include "request/parameters.hpp"

namespace step1x::cli {

// The parameters of the object "step1x" of model_index.json (diffusers folders) or of config.json (flat ones), if there
// is one. `model`: as resolve_model() gives it. Throws Error(model_missing) with file, key and value.
request::Json model_defaults(const std::string& model);

}  // namespace step1x::cli
