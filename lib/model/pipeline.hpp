// A whole model, and what it is for: edits of pictures and pictures from text. Const after construction. One job at a
// time is what memory allows; the object itself may be used by any thread, but for what its weights' source says.
//
// A job goes through three stages, which read the weights of different parts: text encoder, transformer, VAE. Each part
// is asked for as its stage begins and let go as it ends, so that where memory is short one can follow the other; the
// VAE, which is small, encodes before and decodes after, and is kept.
//
// Where the references of the two layouts differ (damping, noise, rounding, preprocessing), each layout follows its
// own. Errors: Error(bad_image), Error(bad_prompt) and Error(usage) from a job, Error(model_missing) where a stage
// gives NaN or infinity, and what a hook throws.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/denoise.hpp"
#include "model/model_files.hpp"
#include "model/noise.hpp"
#include "model/pictures.hpp"
#include "model/text_encoder.hpp"

namespace step1x {

// Where the weights are and what transformer and text encoder compute with. The VAE's weights are float32; it encodes
// in `dtype` and decodes in float32.
struct PipelineOptions {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
};

struct JobOptions {
  std::string prompt;
  std::string negative_prompt;
  // Of a prompt that is longer than the model takes, the beginning counts and `cut` is told; else it is refused.
  // `what`: "prompt" or "negative_prompt".
  bool truncate = false;
  std::function<void(std::string_view what, const PromptCut& cut)> cut;
  int steps = 28;
  // Below 0 (diffusers: up to 1) the prompt is followed without guidance.
  double guidance = 6;
  NoiseSeeds seeds;
  std::optional<GuidanceDamping> damping;  // not set: what the layout's reference does
  std::optional<VaeTiling> tiling;         // not set: the VAE works on the whole picture
  DenoiseOptions denoise;
  // Before each layer of the text encoder and its vision tower, for cancelling; and before each block of the VAE.
  LayerHook before_layer;
  VaeHook before_vae_block;
  // Called with what the stages make, by name: "resized" (bytes), "vae_input", "moments", "posterior_noise",
  // "reference_latents", "noise", "text.0", "text.1", "times", "decoded".
  std::function<void(std::string_view, const at::Tensor&)> observe;
};

enum class ModelPart { text_encoder, transformer, vae };
// Has the part's weights in place as long as one of the tensors lives.
using WeightsSource = std::function<Weights(ModelPart)>;

class Pipeline {
 public:
  // REQUIRES: `source` gives the weights of `files`, of this type and on this device.
  Pipeline(std::shared_ptr<const ModelFiles> files, WeightsSource source, const PipelineOptions& options);
  // With weights of its own in the memory of this process.
  explicit Pipeline(const ModelLayout& layout, const PipelineOptions& options = {at::kCPU, at::kFloat});

  // The result has the size of `picture`. `size_level`: the side of the square whose area it is edited at.
  Picture edit(RgbView picture, int size_level, const JobOptions& job) const;
  // v1.1 in the native layout. Sides are rounded up to what the model can do and the result is resized to `size`.
  Picture generate(PictureSize size, const JobOptions& job) const;

  // Pixels that both working sides must be a multiple of.
  std::int64_t multiple() const;
  TransformerParts transformer() const;
  TextEncoder text_encoder() const;
  const Vae& vae() const { return vae_; }

 private:
  Pipeline(std::shared_ptr<const ModelFiles> files, const PipelineOptions& options);
  struct Prompts {
    EncoderPatches patches;
    std::vector<EncodedPrompt> texts;  // the prompt, and where there is guidance the negative prompt
  };
  void check_finite(const at::Tensor& x, at::ScalarType type, std::string_view stage) const;
  Prompts read_prompts(const JobOptions& job, RgbView picture) const;
  std::vector<TextInput> encode_texts(const JobOptions& job, const Prompts& prompts, PictureSize working) const;
  Picture finish(const JobOptions& job, DenoiseInput input) const;

  std::shared_ptr<const ModelFiles> files_;
  WeightsSource source_;
  PipelineOptions options_;
  Vae vae_;
};

}  // namespace step1x
