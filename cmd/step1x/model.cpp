#include "model.hpp"

#include <filesystem>

#include "base/error.hpp"

namespace step1x::cli {

namespace fs = std::filesystem;

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
  const fs::path folder = named == loaded.settings.models.end() ? wanted : named->second;
  std::error_code problem;
  const fs::path absolute = fs::canonical(folder, problem);
  if (problem || !fs::is_directory(absolute)) {
    throw Error::format(ErrorCode::model_missing, "model '{}': {} ({}); names can be given under [models] in {}",
                        wanted, problem ? problem.message() : "not a folder", folder.string(), loaded.file.string());
  }
  return absolute.string();
}

}  // namespace step1x::cli
