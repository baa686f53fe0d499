#include "model/loading.hpp"

namespace step1x {

TransformerFiles open_transformer(const ModelLayout& layout) {
  TransformerFiles files{transformer_config(layout), Checkpoint(layout.transformer), {}};
  check_version(files.checkpoint, layout);
  files.table = transformer_table(files.config, layout.kind);
  check_weights(files.checkpoint, files.table);
  return files;
}

VaeFiles open_vae(const ModelLayout& layout) {
  VaeFiles files{vae_config(layout), Checkpoint(layout.vae), {}};
  files.table = vae_table(files.config, layout.kind);
  check_weights(files.checkpoint, files.table);
  return files;
}

TransformerParts load_transformer(const TransformerFiles& files, at::ScalarType type) {
  const Weights weights = load_weights(files.checkpoint, files.table, type);
  return {Connector(files.config, weights), Transformer(files.config, weights)};
}

TransformerParts load_transformer(const ModelLayout& layout, at::ScalarType type) {
  return load_transformer(open_transformer(layout), type);
}

Vae load_vae(const VaeFiles& files, at::ScalarType type) {
  return {files.config, load_weights(files.checkpoint, files.table, type)};
}

Vae load_vae(const ModelLayout& layout, at::ScalarType type) {
  return load_vae(open_vae(layout), type);
}

}  // namespace step1x
