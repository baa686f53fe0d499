// The golden cases but those of the text encoder: each runs the code under test on the case's own data and returns
// every comparison that it made. What a case needs and does not have is an exception.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "model/golden_tensors.hpp"
#include "text/tokenizer.hpp"
#include "weights/layout.hpp"

namespace step1x::test {

// A case of a native manifest: `about` is its entry, `file` the data beside the manifest.
Comparisons check_schedule(const std::filesystem::path& file, const nlohmann::json& about);
Comparisons check_rope(const std::filesystem::path& file, const nlohmann::json& about);
Comparisons check_guidance(const std::filesystem::path& file, const nlohmann::json& about);
Comparisons check_resize(const std::filesystem::path& file, const nlohmann::json& about);
Comparisons check_dit(const std::filesystem::path& file, const nlohmann::json& about);
Comparisons check_autoencoder(const std::filesystem::path& file, const nlohmann::json& about);
Comparisons check_single_block(const std::filesystem::path& file, const nlohmann::json& about);
Comparisons check_double_block(const std::filesystem::path& file, const nlohmann::json& about);
Comparisons check_bf16(const std::filesystem::path& file, const nlohmann::json& about);
Comparisons check_padding(const std::filesystem::path& file, const nlohmann::json& about);
// One run of a pipeline case.
Comparisons check_native_run(const std::filesystem::path& file, const nlohmann::json& about, const nlohmann::json& run);

// Files of a diffusers folder.
Comparisons check_diffusers_schedules(const std::filesystem::path& folder);
Comparisons check_diffusers_transformer(const std::filesystem::path& folder);
Comparisons check_diffusers_pipeline(const std::filesystem::path& folder);
Comparisons check_prompt_ids_v1_2(const std::filesystem::path& folder, const Tokenizer& full);

// vectors.json and invalid_utf8.json with both vocabularies.
Comparisons check_tokenizer(const std::filesystem::path& folder, const Tokenizer& full, const Tokenizer& small);

// |found - expected| <= absolute + relative * |expected|, told by the element that comes nearest to breaking it.
Comparison compare_relative(std::string what, const at::Tensor& found, const at::Tensor& expected, double absolute,
                            double relative);
// The first number of a tolerance such as "2e-4 abs + 1e-4 rel".
double tolerance_of(const nlohmann::json& manifest, const std::string& key);

// What tests of the model need again and again.
ModelLayout flat_layout_of(const std::filesystem::path& transformer, const nlohmann::json& about);

}  // namespace step1x::test
