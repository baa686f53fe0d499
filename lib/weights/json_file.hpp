// A small JSON file of a model folder (config.json, an index).
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

namespace step1x {

// The object in `path`. Error(model_missing) with the path when it cannot be read, is larger than 64 MiB, is not JSON
// or is not an object.
nlohmann::json read_json_object(const std::filesystem::path& path);

}  // namespace step1x
