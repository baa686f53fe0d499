#include "model_defaults.hpp"

#include <filesystem>

#include "base/error.hpp"
#include "weights/json_file.hpp"

namespace step1x::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// It is the model that is wrong, not the command.
json checked(const request::Parameter& parameter, const json& value, const fs::path& file) {
  try {
    return request::to_sent(parameter, value, fmt::format("{}: 'step1x.{}'", file.string(), parameter.name));
  } catch (const Error& problem) {
    throw Error(ErrorCode::model_missing, problem.what());
  }
}

}  // namespace

request::Json model_defaults(const std::string& model) {
  request::Json defaults = request::Json::object();
  if (model.starts_with("fake:")) return defaults;
  // What is wrong with the model is told by who opens it.
  std::error_code ignored;
  const fs::path folder = fs::is_directory(model, ignored) ? fs::path(model) : fs::path(model).parent_path();
  for (const char* name : {"model_index.json", "config.json"}) {
    const fs::path file = folder / name;
    if (!fs::is_regular_file(file, ignored)) continue;
    const json content = read_json_object(file);
    const auto own = content.find("step1x");
    if (own == content.end() || !own->is_object()) return defaults;
    for (const request::Parameter& parameter : request::parameters()) {
      const auto found = own->find(parameter.name);
      if (!parameter.of_model || found == own->end()) continue;
      defaults[std::string(parameter.name)] = checked(parameter, *found, file);
    }
    return defaults;
  }
  return defaults;
}

}  // namespace step1x::cli
