#include "model/loading.hpp"

namespace step1x {

TransformerFiles open_transformer(const ModelLayout& layout) {
  TransformerFiles files{transformer_config(layout), Checkpoint(layout.transformer), {}};
  check_version(files.checkpoint, layout);
  check_counts(files.checkpoint, layout.kind == LayoutKind::flat ? layout.config : layout.transformer_config,
               block_counts(files.config, layout.kind));
  files.table = transformer_table(files.config, layout.kind);
  check_weights(files.checkpoint, files.table);
  return files;
}

VaeFiles open_vae(const ModelLayout& layout) {
  VaeFiles files{vae_config(layout), Checkpoint(layout.vae), {}};
  check_counts(files.checkpoint, layout.kind == LayoutKind::flat ? layout.config : layout.vae_config,
               block_counts(files.config, layout.kind));
  files.table = vae_table(files.config, layout.kind);
  check_weights(files.checkpoint, files.table);
  return files;
}

TransformerParts load_transformer(const TransformerFiles& files, at::ScalarType type, at::Device device) {
  const Weights weights = load_weights(files.checkpoint, files.table, type, {}, device);
  return {Connector(files.config, weights), Transformer(files.config, weights)};
}

TransformerParts load_transformer(const ModelLayout& layout, at::ScalarType type, at::Device device) {
  return load_transformer(open_transformer(layout), type, device);
}

Vae load_vae(const VaeFiles& files, at::ScalarType type, at::Device device) {
  return {files.config, load_weights(files.checkpoint, files.table, type, {}, device)};
}

Vae load_vae(const ModelLayout& layout, at::ScalarType type, at::Device device) {
  return load_vae(open_vae(layout), type, device);
}

}  // namespace step1x
