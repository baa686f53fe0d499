// The text encoder's cases, as golden-check calls them.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>

#include "model/golden_tensors.hpp"
#include "text/tokenizer.hpp"

namespace step1x::test {

bool is_text_encoder_case(std::string_view kind);
// `full_tokenizer` loads the full tokenizer when it is needed.
Comparisons run_text_encoder_case(std::string_view kind, const std::filesystem::path& file, const nlohmann::json& about,
                                  const std::function<const Tokenizer&()>& full_tokenizer);
// The text encoder's part of a diffusers folder.
Comparisons check_diffusers_text_case(const std::filesystem::path& folder);

}  // namespace step1x::test
