// How a model's files want prompts written for the text encoder. Pure but for the file. Errors: Error(model_missing)
// with file, key and value.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "text/prompt.hpp"
#include "weights/layout.hpp"

namespace step1x {

// The object "text" of a flat folder's config.json, or of "step1x" in model_index.json; an empty one where there is
// none. Its keys: apply_overrides(), "min_pixels", "max_pixels".
nlohmann::json text_overrides(const ModelLayout& layout);

// What the layout's reference does, but for what the overrides say.
PromptConfig prompt_config(const ModelLayout& layout);

}  // namespace step1x
