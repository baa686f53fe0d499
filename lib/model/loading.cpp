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

TransformerParts load_transformer(const TransformerFiles& files, const at::TensorOptions& options,
                                  const LoadHook& loaded) {
  const Weights weights = load_weights(files.checkpoint, files.table, options, loaded);
  return {Connector(files.config, weights), Transformer(files.config, weights)};
}

TransformerParts load_transformer(const ModelLayout& layout, const at::TensorOptions& options) {
  return load_transformer(open_transformer(layout), options);
}

Vae load_vae(const VaeFiles& files, const at::TensorOptions& options, const LoadHook& loaded) {
  return {files.config, load_weights(files.checkpoint, files.table, options, loaded)};
}

Vae load_vae(const ModelLayout& layout, const at::TensorOptions& options) {
  return load_vae(open_vae(layout), options);
}

}  // namespace step1x
