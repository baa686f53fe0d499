#include "model/text_config.hpp"

#include <nlohmann/json.hpp>

#include "nn/config_reader.hpp"

namespace step1x {

nlohmann::json text_overrides(const ModelLayout& layout) {
  if (layout.config.empty()) return nlohmann::json::object();
  const ConfigReader file(layout.config);
  return (layout.kind == LayoutKind::flat ? file : file.section("step1x")).section("text").content();
}

PromptConfig prompt_config(const ModelLayout& layout) {
  PromptConfig config = layout.kind == LayoutKind::flat        ? native_prompt()
                        : layout.version == ModelVersion::v1_2 ? diffusers_v1_2_prompt()
                                                               : diffusers_v1_1_prompt();
  if (!layout.config.empty()) apply_overrides(config, text_overrides(layout), layout.config.string());
  return config;
}

}  // namespace step1x
