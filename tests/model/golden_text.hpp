// The golden cases of the text encoder, for golden-check and for the tests here: each runs the code under test on the
// case's own data and returns every comparison it made, with the tolerance that the manifest names. What a case needs
// and does not have is an exception.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "golden_tensors.hpp"
#include "model/text_encoder.hpp"
#include "model/text_encoder_weights.hpp"
#include "text/tokenizer.hpp"

namespace step1x::test {

// A folder with the text encoder's weights, config.json and perhaps preprocessor_config.json, as part of a flat layout.
ModelLayout text_encoder_layout(const std::filesystem::path& folder);
TextEncoder load_text_encoder(const ModelLayout& layout, at::ScalarType type = at::kFloat);
// Ids as the reference had them; drop, kept and length of the case.
EncodedPrompt prompt_of(const std::vector<std::int64_t>& ids, std::size_t drop, std::size_t length, bool pad);
// (length, hidden): the rows of padding added.
at::Tensor padded(const TextEncoding& encoding, const EncodedPrompt& prompt);

// `folder` holds the data file and the manifest; `about` is the case in it. `weights`: instead of the case's own.
Comparisons check_qwen(const std::filesystem::path& folder, const nlohmann::json& about,
                       const std::filesystem::path& weights = {});
Comparisons check_prompt_ids(const std::filesystem::path& file, const nlohmann::json& about,
                             const Tokenizer& tokenizer);
Comparisons check_vision_windows(const std::filesystem::path& file, const nlohmann::json& about);
Comparisons check_mrope(const std::filesystem::path& file, const nlohmann::json& about);
// The text encoder's part of a diffusers folder: model/, pipeline.safetensors, pipeline.json, ref-resized.png.
Comparisons check_diffusers_text(const std::filesystem::path& folder);

}  // namespace step1x::test
