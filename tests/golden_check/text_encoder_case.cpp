#include "text_encoder_case.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "model/golden_text.hpp"

namespace step1x::test {

bool is_text_encoder_case(std::string_view kind) {
  constexpr std::array kKinds{"qwen", "prompt-ids", "prompt-ids-long", "vision-windows", "mrope"};
  return std::ranges::find(kKinds, kind) != kKinds.end();
}

Comparisons run_text_encoder_case(std::string_view kind, const std::filesystem::path& file, const nlohmann::json& about,
                                  const std::function<const Tokenizer&()>& full_tokenizer) {
  const std::filesystem::path folder = file.parent_path();
  if (kind == "qwen") {
    Comparisons result = check_qwen(folder, about);
    if (!std::filesystem::exists(folder / "qwen-sharded")) return result;
    for (Comparison& each : check_qwen(folder, about, folder / "qwen-sharded")) {
      result.push_back({"sharded " + each.what, each.error, each.tolerance});
    }
    return result;
  }
  if (kind == "vision-windows") return check_vision_windows(file, about);
  if (kind == "mrope") return check_mrope(file, about);
  if (kind == "prompt-ids" || kind == "prompt-ids-long") return check_prompt_ids(file, about, full_tokenizer());
  throw std::runtime_error(fmt::format("'{}' is no case of the text encoder", kind));
}

Comparisons check_diffusers_text_case(const std::filesystem::path& folder) {
  return check_diffusers_text(folder);
}

}  // namespace step1x::test
