// A small JSON file of a model folder (config.json, an index).
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace step1x {

// The object in `path`. Error(model_missing) with the path when it cannot be read, is larger than 8 MiB (which take up
// to 32 times as much when they are read), is not JSON, is nested deeper than a copy of it could be, or is not an
// object.
nlohmann::json read_json_object(const std::filesystem::path& path);

// A value as it is put into a message: one short line of ASCII, whatever it is.
std::string brief(const nlohmann::json& value);

}  // namespace step1x
