#include "weights/layout.hpp"

#include <array>

#include "base/error.hpp"
#include "weights/json_file.hpp"

namespace step1x {

namespace {

namespace fs = std::filesystem;

struct VersionName {
  ModelVersion version;
  std::string_view name;
};
constexpr std::array kVersions{
    VersionName{ModelVersion::v1_0, "v1.0"},
    VersionName{ModelVersion::v1_1, "v1.1"},
    VersionName{ModelVersion::v1_2, "v1.2"},
};

// Newest first. The FP8 name is that of the public quantized copies.
struct FlatFile {
  ModelVersion version;
  std::string_view file;
};
constexpr std::array kFlatFiles{
    FlatFile{ModelVersion::v1_1, "step1x-edit-v1p1-official.safetensors"},
    FlatFile{ModelVersion::v1_0, "step1x-edit-i1258.safetensors"},
    FlatFile{ModelVersion::v1_0, "step1x-edit-i1258-FP8.safetensors"},
};
constexpr std::string_view kFlatTextEncoder = "Qwen2.5-VL-7B-Instruct";

// Nothing of that name; other reasons not to see it, a folder that may not be entered or a link to itself, are errors.
fs::file_type type_of(const fs::path& path) {
  std::error_code problem;
  const fs::file_type type = fs::status(path, problem).type();
  if (type == fs::file_type::none || (problem && type != fs::file_type::not_found))
    throw Error::format(ErrorCode::model_missing, "cannot look at {}: {}", path.string(), problem.message());
  return type;
}

bool is_plain_file(const fs::path& path) {
  return type_of(path) == fs::file_type::regular;
}

fs::path file_or_empty(const fs::path& path) {
  return is_plain_file(path) ? path : fs::path();
}

fs::path need_file(const fs::path& path, std::string_view what) {
  if (is_plain_file(path)) return path;
  throw Error::format(ErrorCode::model_missing, "{}: {} is missing; download the rest of the model", path.string(),
                      what);
}

[[noreturn]] void refuse_version(const fs::path& folder, ModelVersion wanted, std::string_view found) {
  throw Error::format(ErrorCode::model_missing, "{}: holds Step1X-Edit {} and {} was asked for", folder.string(), found,
                      name(wanted));
}

// Fills what lies in the text encoder's own folder.
void add_text_encoder(ModelLayout& layout, const fs::path& folder) {
  layout.text_encoder = find_weights(folder, "model");
  layout.text_encoder_config = need_file(folder / "config.json", "the text encoder's configuration");
}

ModelLayout flat_layout(const fs::path& folder, const LayoutChoice& choice) {
  ModelLayout layout;
  layout.kind = LayoutKind::flat;
  layout.folder = folder;
  std::string found;
  for (const FlatFile& each : kFlatFiles) {
    if (!is_plain_file(folder / each.file)) continue;
    if (!found.empty()) found += " and ";
    found += name(each.version);
    if (!layout.transformer.empty() || (choice.version && *choice.version != each.version)) continue;
    layout.transformer = folder / each.file;
    layout.version = each.version;
  }
  if (layout.transformer.empty()) refuse_version(folder, choice.version.value_or(ModelVersion::v1_1), found);
  layout.vae = need_file(folder / "vae.safetensors", "the VAE");
  layout.config = file_or_empty(folder / "config.json");

  const fs::path text = choice.text_encoder.empty() ? folder / kFlatTextEncoder : choice.text_encoder;
  if (type_of(text) != fs::file_type::directory) {
    throw Error::format(ErrorCode::model_missing,
                        "{}: the text encoder is missing; put Qwen/Qwen2.5-VL-7B-Instruct there or name another folder",
                        text.string());
  }
  add_text_encoder(layout, text);
  layout.tokenizer = need_file(text / "tokenizer.json", "the tokenizer");
  layout.processor_config = file_or_empty(text / "preprocessor_config.json");
  return layout;
}

ModelLayout diffusers_layout(const fs::path& folder, const LayoutChoice& choice) {
  ModelLayout layout;
  layout.kind = LayoutKind::diffusers;
  layout.folder = folder;
  const fs::path index = folder / "model_index.json";
  const nlohmann::json content = read_json_object(index);
  layout.config = index;
  const nlohmann::json pipeline = content.value("_class_name", nlohmann::json());
  if (pipeline == "Step1XEditPipeline") {
    layout.version = ModelVersion::v1_1;
  } else if (pipeline == "Step1XEditPipelineV1P2") {
    layout.version = ModelVersion::v1_2;
  } else {
    throw Error::format(ErrorCode::model_missing,
                        "{}: '_class_name' is {}, expected \"Step1XEditPipeline\" or \"Step1XEditPipelineV1P2\"",
                        index.string(), brief(pipeline));
  }
  if (choice.version && *choice.version != layout.version)
    refuse_version(folder, *choice.version, name(layout.version));

  layout.transformer = find_weights(folder / "transformer", "diffusion_pytorch_model");
  layout.transformer_config = need_file(folder / "transformer/config.json", "the transformer's configuration");
  layout.vae = find_weights(folder / "vae", "diffusion_pytorch_model");
  layout.vae_config = need_file(folder / "vae/config.json", "the VAE's configuration");
  layout.scheduler_config = file_or_empty(folder / "scheduler/scheduler_config.json");
  add_text_encoder(layout, choice.text_encoder.empty() ? folder / "text_encoder" : choice.text_encoder);
  // Some uploads keep the tokenizer beside the weights.
  for (const char* part : {"processor", "tokenizer", "text_encoder"}) {
    if (layout.tokenizer.empty()) layout.tokenizer = file_or_empty(folder / part / "tokenizer.json");
    if (layout.processor_config.empty()) {
      layout.processor_config = file_or_empty(folder / part / "preprocessor_config.json");
    }
  }
  if (layout.tokenizer.empty()) need_file(folder / "processor/tokenizer.json", "the tokenizer");
  return layout;
}

}  // namespace

std::string_view name(ModelVersion version) {
  return kVersions[static_cast<std::size_t>(version)].name;
}

std::optional<ModelVersion> model_version(std::string_view name) {
  for (const VersionName& each : kVersions) {
    if (each.name == name) return each.version;
  }
  return std::nullopt;
}

fs::path find_weights(const fs::path& folder, std::string_view stem) {
  fs::path single = folder / (std::string(stem) + ".safetensors");
  if (is_plain_file(single)) return single;
  fs::path index = folder / (std::string(stem) + ".safetensors.index.json");
  if (is_plain_file(index)) return index;
  throw Error::format(ErrorCode::model_missing, "{}: weights are missing: neither {} nor {} is there; download them",
                      folder.string(), single.filename().string(), index.filename().string());
}

ModelLayout find_layout(const fs::path& path, const LayoutChoice& choice) {
  if (type_of(path) == fs::file_type::not_found) {
    throw Error::format(ErrorCode::model_missing, "{}: no such model folder", path.string());
  }
  if (is_plain_file(path)) {
    for (const FlatFile& each : kFlatFiles) {
      if (path.filename() != each.file) continue;
      if (choice.version && *choice.version != each.version) refuse_version(path, *choice.version, name(each.version));
      LayoutChoice same = choice;
      same.version = each.version;
      ModelLayout layout = flat_layout(path.parent_path(), same);
      layout.transformer = path;
      return layout;
    }
    throw Error::format(ErrorCode::model_missing, "{}: not a model: expected a folder, or {} or {}", path.string(),
                        kFlatFiles[0].file, kFlatFiles[1].file);
  }
  if (is_plain_file(path / "model_index.json")) return diffusers_layout(path, choice);
  for (const FlatFile& each : kFlatFiles) {
    if (is_plain_file(path / each.file)) return flat_layout(path, choice);
  }
  throw Error::format(ErrorCode::model_missing,
                      "{}: not a Step1X-Edit model: it has neither {} nor {} nor model_index.json", path.string(),
                      kFlatFiles[0].file, kFlatFiles[1].file);
}

void check_version(const Checkpoint& transformer, const ModelLayout& layout) {
  const auto check = [&](std::string_view tensor, ModelVersion owner) {
    const bool found = transformer.find(tensor) != nullptr;
    if (found == (layout.version == owner)) return;
    throw Error::format(
        ErrorCode::model_missing, "{}: wrong version: expected Step1X-Edit {}, found {} (tensor {} is {})",
        transformer.path().string(), name(layout.version), found ? fmt::format("{}", name(owner)) : "another",
        quote_name(tensor), found ? "there" : "missing");
  };
  if (layout.kind == LayoutKind::flat) {
    check("connector.scale_factor", ModelVersion::v1_0);
  } else {
    check("text_token_mapping.weight", ModelVersion::v1_2);
  }
}

void check_text_encoder(const Checkpoint& text_encoder, const ModelLayout& layout) {
  constexpr std::string_view kExpected = "qwen2_5_vl";
  constexpr std::string_view kVision = "visual.patch_embed.proj.weight";
  const nlohmann::json config = read_json_object(layout.text_encoder_config);
  const nlohmann::json type = config.value("model_type", nlohmann::json());
  if (type != kExpected) {
    throw Error::format(ErrorCode::model_missing,
                        "{}: wrong text encoder: 'model_type' is {}, expected \"{}\" (Qwen2.5-VL, a vision model)",
                        layout.text_encoder_config.string(), brief(type), kExpected);
  }
  for (const auto& [tensor, entry] : text_encoder.tensors()) {
    if (std::string_view(tensor).ends_with(kVision)) return;
  }
  throw Error::format(ErrorCode::model_missing,
                      "{}: a text model where a vision model belongs: tensor '{}' is missing; expected "
                      "Qwen2.5-VL-7B-Instruct",
                      text_encoder.path().string(), kVision);
}

}  // namespace step1x
