#include "model/text_config.hpp"

#include <nlohmann/json.hpp>

#include "weights/json_file.hpp"

namespace step1x {

nlohmann::json text_overrides(const ModelLayout& layout) {
  const nlohmann::json none = nlohmann::json::object();
  if (layout.config.empty()) return nlohmann::json::object();
  const nlohmann::json file = read_json_object(layout.config);
  return (layout.kind == LayoutKind::flat ? file : file.value("step1x", none)).value("text", none);
}

PromptConfig prompt_config(const ModelLayout& layout) {
  PromptConfig config = layout.kind == LayoutKind::flat        ? native_prompt()
                        : layout.version == ModelVersion::v1_2 ? diffusers_v1_2_prompt()
                                                               : diffusers_v1_1_prompt();
  apply_overrides(config, text_overrides(layout), layout.config.string());
  return config;
}

}  // namespace step1x
