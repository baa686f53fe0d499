// What a model's own files want where the user has said nothing: a small model is at its best at another size than the
// released one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace step1x::cli {

struct ModelDefaults {
  std::optional<std::int64_t> size;
  std::optional<std::int64_t> steps;
  std::optional<double> guidance;
  std::optional<std::string> guidance_damping;
};

// From the object "step1x" of model_index.json (diffusers folders) or of config.json (flat ones), if there is one.
// `model`: as resolve_model() gives it. Throws Error(model_missing) with file, key and value.
ModelDefaults model_defaults(const std::string& model);

}  // namespace step1x::cli
