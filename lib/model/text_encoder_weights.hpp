// The text encoder's files, checked before anything large is allocated, and how their tensors become those of the model
// code. Errors: Error(model_missing) with file, tensor, expected and found.
//
// The model code joins what is computed from the same input: q, k and v of a text layer are one tensor "qkv", gate and
// up projections one "gate_up". The output head (lm_head) is not in the table, so it is never read.
#pragma once

#include <string>

#include "model/text_encoder_config.hpp"
#include "nn/block_counts.hpp"
#include "nn/weights.hpp"
#include "weights/layout.hpp"

namespace step1x {

// How a checkpoint's names begin: as published, or one level deeper (model.visual.*, model.language_model.*).
struct TextEncoderNames {
  std::string vision = "visual.";
  std::string text = "model.";
};
TextEncoderNames text_encoder_names(const Checkpoint& checkpoint);

// What of the configuration counts blocks, for check_counts().
std::vector<BlockCount> block_counts(const TextEncoderConfig& config, const TextEncoderNames& names);

LoadTable text_encoder_table(const TextEncoderConfig& config, const TextEncoderNames& names);

struct TextEncoderFiles {
  TextEncoderConfig config;
  Checkpoint checkpoint;
  LoadTable table;
};

// Reads the configuration and all headers, and checks that every tensor is there, in its shape and in a type that can
// be computed with.
TextEncoderFiles open_text_encoder(const ModelLayout& layout);

}  // namespace step1x
