// The files of a whole model, opened and checked, and its weights in memory of this process. Const; any thread. Errors:
// Error(model_missing), which name file, tensor or key, expected and found.
#pragma once

#include "model/encoder_patches.hpp"
#include "model/loading.hpp"
#include "model/scheduler.hpp"
#include "model/text_encoder_weights.hpp"
#include "text/prompt.hpp"
#include "text/tokenizer.hpp"

namespace step1x {

// All of a model but the weights themselves.
struct ModelFiles {
  ModelLayout layout;
  TextEncoderFiles text_encoder;
  TransformerFiles transformer;
  VaeFiles vae;
  Tokenizer tokenizer;
  PromptConfig prompt;
  EncoderPictureConfig picture;
  SchedulerConfig scheduler;
};
// All files are looked at before the first weight is read: a part that is missing or damaged is told within
// milliseconds, with nothing allocated.
ModelFiles open_model(const ModelLayout& layout);

struct ModelWeights {
  Weights text_encoder;
  Weights transformer;
  Weights vae;
};
// Transformer and text encoder as `type`, the VAE as float32.
ModelWeights load_model(const ModelFiles& files, at::ScalarType type, const LoadHook& loaded = {},
                        at::Device device = at::kCPU);

}  // namespace step1x
