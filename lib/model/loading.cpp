#include "model/loading.hpp"

namespace step1x {

TransformerParts load_transformer(const ModelLayout& layout, const at::TensorOptions& options) {
  const TransformerConfig config = transformer_config(layout);
  const Checkpoint checkpoint(layout.transformer);
  check_version(checkpoint, layout);
  const Weights weights = load_weights(checkpoint, transformer_table(config, layout.kind), options);
  return {Connector(config, weights), Transformer(config, weights)};
}

Vae load_vae(const ModelLayout& layout, const at::TensorOptions& options) {
  const VaeConfig config = vae_config(layout);
  const Weights weights = load_weights(Checkpoint(layout.vae), vae_table(config, layout.kind), options);
  return {config, weights};
}

}  // namespace step1x
