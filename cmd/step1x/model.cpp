#include "model.hpp"

#include <filesystem>

#include "base/error.hpp"
#include "hub/cache.hpp"

namespace step1x::cli {
namespace {

namespace fs = std::filesystem;

bool is_model(const fs::path& path) {
  std::error_code problem;
  return fs::is_directory(path, problem) || (path.extension() == ".safetensors" && fs::is_regular_file(path, problem));
}

}  // namespace

std::string resolve_model(const config::Loaded& loaded) {
  const std::string& wanted = loaded.settings.model;
  if (wanted.empty()) {
    throw Error::format(ErrorCode::model_missing,
                        "no model is set: give --model FOLDER with the files of Step1X-Edit, or put model = \"FOLDER\" "
                        "into {}; see step1x-edit(1)",
                        loaded.file.string());
  }
  if (wanted.starts_with("fake:")) return wanted;
  const auto named = loaded.settings.models.find(wanted);
  const std::string place = named == loaded.settings.models.end() ? wanted : named->second;
  // The names inside a snapshot of the hub's cache are links whose targets have no names, so nothing is resolved.
  if (is_model(place)) return fs::absolute(place).lexically_normal().string();
  std::error_code problem;
  if (!fs::exists(place, problem) && place.find('/') != std::string::npos && is_hub_id(place))
    return find_snapshot(hub_cache_folder(), place).string();
  throw Error::format(
      ErrorCode::model_missing,
      "model '{}': {} is {}; give a folder, a .safetensors file in it, a hub id, or a name from [models] in {}", wanted,
      place, fs::exists(place, problem) ? "neither a folder nor a .safetensors file" : "not there",
      loaded.file.string());
}

}  // namespace step1x::cli
