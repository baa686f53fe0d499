#include "model/model_files.hpp"

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "model/text_config.hpp"

namespace step1x {

namespace {

// That a number of one file is that of another.
void check_same(const std::filesystem::path& file, const char* key, std::int64_t found, std::int64_t expected,
                const std::filesystem::path& other) {
  if (found == expected) return;
  throw Error::format(ErrorCode::model_missing, "{}: '{}' is {}, and by {} it is {}", file.string(), key, found,
                      other.string(), expected);
}

// What no part can see for itself: that tokenizer, prompts and pictures are those that the text encoder expects.
void check_together(const ModelFiles& files) {
  const ModelLayout& layout = files.layout;
  const TextEncoderConfig& encoder = files.text_encoder.config;
  const auto token = [&](const char* key, std::int64_t id, const char* content) {
    check_same(layout.text_encoder_config, key, id, files.tokenizer.added_id(content), layout.tokenizer);
  };
  token("image_token_id", encoder.image_token, "<|image_pad|>");
  token("vision_start_token_id", encoder.vision_start_token, "<|vision_start|>");
  const auto side = [&](const char* key, std::int64_t found, std::int64_t expected) {
    const std::filesystem::path& file =
        layout.processor_config.empty() ? layout.text_encoder_config : layout.processor_config;
    check_same(file, key, found, expected, layout.text_encoder_config);
  };
  side("patch_size", files.picture.patch_size, encoder.vision.patch_size);
  side("merge_size", files.picture.merge_size, encoder.vision.merge_size);
  side("temporal_patch_size", files.picture.temporal_patch_size, encoder.vision.temporal_patch_size);
  // What is wrong with the chat text or its numbers shows in any prompt.
  encode_prompt(files.tokenizer, files.prompt, "", 1);
}

}  // namespace

ModelFiles open_model(const ModelLayout& layout) {
  TextEncoderFiles text_encoder = open_text_encoder(layout);
  TransformerFiles transformer = open_transformer(layout);
  VaeFiles vae = open_vae(layout);
  ModelFiles files{layout,
                   std::move(text_encoder),
                   std::move(transformer),
                   std::move(vae),
                   Tokenizer(layout.tokenizer),
                   prompt_config(layout),
                   read_encoder_picture_config(layout, text_overrides(layout)),
                   scheduler_config(layout)};
  check_together(files);
  return files;
}

ModelWeights load_model(const ModelFiles& files, at::ScalarType type, const LoadHook& loaded, at::Device device) {
  // In the order of use, which is also the order of evaluation here.
  return {load_weights(files.text_encoder.checkpoint, files.text_encoder.table, type, loaded, device),
          load_weights(files.transformer.checkpoint, files.transformer.table, type, loaded, device),
          load_weights(files.vae.checkpoint, files.vae.table, at::kFloat, loaded, device)};
}

}  // namespace step1x
