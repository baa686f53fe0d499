#include "model/model_files.hpp"

#include <nlohmann/json.hpp>

#include "model/text_config.hpp"

namespace step1x {

ModelFiles open_model(const ModelLayout& layout) {
  TextEncoderFiles text_encoder = open_text_encoder(layout);
  TransformerFiles transformer = open_transformer(layout);
  VaeFiles vae = open_vae(layout);
  return {layout,
          std::move(text_encoder),
          std::move(transformer),
          std::move(vae),
          Tokenizer(layout.tokenizer),
          prompt_config(layout),
          read_encoder_picture_config(layout, text_overrides(layout)),
          scheduler_config(layout)};
}

ModelWeights load_model(const ModelFiles& files, at::ScalarType type, const LoadHook& loaded, at::Device device) {
  // In the order of use, which is also the order of evaluation here.
  return {load_weights(files.text_encoder.checkpoint, files.text_encoder.table, type, loaded, device),
          load_weights(files.transformer.checkpoint, files.transformer.table, type, loaded, device),
          load_weights(files.vae.checkpoint, files.vae.table, at::kFloat, loaded, device)};
}

}  // namespace step1x
