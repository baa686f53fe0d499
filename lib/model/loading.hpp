// The parts of a model that are trained: their files, and reading them into memory, at once and as a whole. Headers and
// configurations are checked, whole, before weights are read. Errors: Error(model_missing), which name file, tensor or
// key, expected and found.
#pragma once

#include "model/connector.hpp"
#include "model/transformer.hpp"
#include "model/vae.hpp"
#include "weights/layout.hpp"

namespace step1x {

struct TransformerParts {
  Connector connector;
  Transformer transformer;
};

// A part's files: opened, and every tensor that it needs found in its shape and in a type that can be computed with.
struct TransformerFiles {
  TransformerConfig config;
  Checkpoint checkpoint;
  LoadTable table;
};
TransformerFiles open_transformer(const ModelLayout& layout);

struct VaeFiles {
  VaeConfig config;
  Checkpoint checkpoint;
  LoadTable table;
};
VaeFiles open_vae(const ModelLayout& layout);

TransformerParts load_transformer(const TransformerFiles& files, at::ScalarType type, at::Device device = at::kCPU);
TransformerParts load_transformer(const ModelLayout& layout, at::ScalarType type, at::Device device = at::kCPU);
Vae load_vae(const VaeFiles& files, at::ScalarType type, at::Device device = at::kCPU);
Vae load_vae(const ModelLayout& layout, at::ScalarType type, at::Device device = at::kCPU);

}  // namespace step1x
