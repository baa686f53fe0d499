// Where the parts of a model are in a folder as the user has it. Paths only: files are looked for, small JSON files
// that tell one kind of folder from another are read, weights are not opened.
//
// Known folders:
//   flat        step1x-edit-i1258.safetensors (v1.0) and/or step1x-edit-v1p1-official.safetensors (v1.1),
//   vae.safetensors,
//               Qwen2.5-VL-7B-Instruct/ (which may also lie elsewhere), perhaps a config.json with dimensions
//   diffusers   model_index.json, transformer/, vae/, text_encoder/, processor/, scheduler/ (v1.1, v1.2)
// Pure but for the file system. Errors: Error(model_missing), which name the folder and what was looked for in it.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "weights/checkpoint.hpp"

namespace step1x {

enum class ModelVersion { v1_0, v1_1, v1_2 };
enum class LayoutKind { flat, diffusers };

std::string_view name(ModelVersion version);  // "v1.0"
std::optional<ModelVersion> model_version(std::string_view name);

struct ModelLayout {
  LayoutKind kind = LayoutKind::flat;
  ModelVersion version = ModelVersion::v1_1;
  std::filesystem::path folder;
  // For Checkpoint: a safetensors file or an index.
  std::filesystem::path transformer;
  std::filesystem::path vae;
  std::filesystem::path text_encoder;
  std::filesystem::path tokenizer;            // tokenizer.json
  std::filesystem::path text_encoder_config;  // its config.json
  // Empty where there is none.
  std::filesystem::path config;  // flat: dimensions of all parts; diffusers: model_index.json
  std::filesystem::path transformer_config;
  std::filesystem::path vae_config;
  std::filesystem::path scheduler_config;
  std::filesystem::path processor_config;  // preprocessor_config.json
};

struct LayoutChoice {
  std::optional<ModelVersion> version;  // where a folder has more than one, else the newest
  std::filesystem::path text_encoder;   // instead of the folder's own; empty: the folder's own
};

// `path` is the folder, or one of the transformer files of a flat folder.
ModelLayout find_layout(const std::filesystem::path& path, const LayoutChoice& choice = {});

// The weights of a part, as its library would choose: `stem`.safetensors, else `stem`.safetensors.index.json.
std::filesystem::path find_weights(const std::filesystem::path& folder, std::string_view stem);

// What only one version's transformer has must agree with the version (connector.scale_factor: native v1.0;
// text_token_mapping.weight: diffusers v1.2).
void check_version(const Checkpoint& transformer, const ModelLayout& layout);
// A text model in place of the vision-language model, or another one: by its config and by its tensors.
void check_text_encoder(const Checkpoint& text_encoder, const ModelLayout& layout);

}  // namespace step1x
