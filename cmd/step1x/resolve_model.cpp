#include "resolve_model.hpp"

#include <filesystem>

#include "base/error.hpp"
#include "base/process.hpp"
#include "hub/cache.hpp"

namespace step1x::cli {
namespace {

namespace fs = std::filesystem;

bool is_model(const fs::path& path) {
  std::error_code problem;
  return fs::is_directory(path, problem) || (path.extension() == ".safetensors" && fs::is_regular_file(path, problem));
}

// In an installed tree and in a build tree alike.
std::string demo_model() {
  const fs::path folder = (fs::path(program_directory()) / "../share/step1x/demo").lexically_normal();
  if (is_model(folder)) return folder.string();
  throw Error::format(ErrorCode::model_missing, "model 'demo': {} is not there; install step1x with `cmake --install`",
                      folder.string());
}

}  // namespace

std::string resolve_model(const config::Loaded& loaded) {
  const std::string& wanted = loaded.settings.model;
  if (wanted.empty()) {
    throw Error::format(ErrorCode::model_missing,
                        "no model is set: download Step1X-Edit (42 GB) from the model hub and put model = "
                        "\"stepfun-ai/Step1X-Edit-v1p1-diffusers\", or its folder, into {}; --model demo tries the "
                        "small one that comes with step1x",
                        loaded.file.string());
  }
  if (wanted.starts_with("fake:")) return wanted;
  const auto named = loaded.settings.models.find(wanted);
  if (named == loaded.settings.models.end() && wanted == "demo") return demo_model();
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

std::string model_label(const config::Loaded& loaded) {
  const fs::path model = loaded.settings.model;
  // What the stand-in does besides pictures does not show in them.
  if (model.string().starts_with("fake:")) return "fake";
  std::error_code ignored;
  if (!model.is_absolute() && !fs::exists(model, ignored)) return model.string();
  return fs::absolute(model / "").lexically_normal().parent_path().filename().string();
}

}  // namespace step1x::cli
