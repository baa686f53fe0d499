#include "model_defaults.hpp"

#include <filesystem>
#include <limits>

#include "base/error.hpp"
#include "ipc/guidance_damping.hpp"
#include "weights/json_file.hpp"

namespace step1x::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// The ranges of protocol.md section 4.
template <typename T>
std::optional<T> number(const json& object, const char* key, T low, T high, const fs::path& file) {
  const auto found = object.find(key);
  if (found == object.end()) return std::nullopt;
  const bool kind = std::numeric_limits<T>::is_integer ? found->is_number_integer() : found->is_number();
  if (!kind || *found < low || *found > high) {
    throw Error::format(ErrorCode::model_missing, "{}: 'step1x.{}' is {}, expected {} to {}", file.string(), key,
                        found->dump(), low, high);
  }
  return found->get<T>();
}

std::optional<std::string> damping(const json& object, const fs::path& file) {
  const auto found = object.find("guidance_damping");
  if (found == object.end()) return std::nullopt;
  if (!found->is_string() || !ipc::is_guidance_damping(found->get<std::string>())) {
    throw Error::format(ErrorCode::model_missing, "{}: 'step1x.guidance_damping' is {}, expected all, early or off",
                        file.string(), found->dump());
  }
  return found->get<std::string>();
}

}  // namespace

ModelDefaults model_defaults(const std::string& model) {
  if (model.starts_with("fake:")) return {};
  const fs::path folder = fs::is_directory(model) ? fs::path(model) : fs::path(model).parent_path();
  for (const char* name : {"model_index.json", "config.json"}) {
    const fs::path file = folder / name;
    if (!fs::is_regular_file(file)) continue;
    const json content = read_json_object(file);
    const auto own = content.find("step1x");
    if (own == content.end() || !own->is_object()) return {};
    return {number<std::int64_t>(*own, "size", 16, 4096, file), number<std::int64_t>(*own, "steps", 1, 1000, file),
            number<double>(*own, "guidance", 0, 100, file), damping(*own, file)};
  }
  return {};
}

}  // namespace step1x::cli
