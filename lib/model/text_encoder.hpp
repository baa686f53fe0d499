// Qwen2.5-VL as Step1X-Edit uses it: from a prompt's token ids and a picture's patches to the last hidden state (after
// the final norm). It generates nothing, so it has no output head and keeps no cache. Pure functions of (weights,
// inputs), const after construction, any thread; the caller decides about gradients.
// The source is Qwen2_5_VLModel of transformers:
// https://github.com/huggingface/transformers/blob/efa7189c5546/src/transformers/models/qwen2_5_vl/modeling_qwen2_5_vl.py
//
// Computed in the type of the weights; norms, softmax and rotation in float32. Errors: Error(model_missing) from
// Weights and for a tokenizer with more ids than the model has.
#pragma once

#include <utility>
#include <vector>

#include "model/text_positions.hpp"
#include "model/vision_tower.hpp"

namespace step1x {

// Rows [drop, drop + kept) of the prompt; rows of padding are left to the caller.
struct TextEncoding {
  at::Tensor hidden;  // (kept, hidden)
  at::Tensor embeds;  // (kept, hidden): what the first layer read (v1.2 maps the quoted characters' rows)
};

// A picture as the vision tower has read it; all prompts of an edit share it.
struct PictureTokens {
  at::Tensor rows;  // (tokens, hidden)
  PatchGrid grid;
};

class TextEncoder {
 public:
  TextEncoder(const TextEncoderConfig& config, const Weights& weights);

  const TextEncoderConfig& config() const { return config_; }
  const VisionTower& vision() const { return vision_; }

  // pixels: (patches, patch_values).
  PictureTokens encode_picture(const at::Tensor& pixels, PatchGrid grid, const LayerHook& before_layer = {}) const;

  // Every token's row: (ids, hidden). The plain form, for comparison.
  at::Tensor forward(const EncodedPrompt& prompt, const PictureTokens& picture,
                     const LayerHook& before_layer = {}) const;

  // The rows that are used. Tokens after them are not read, and the last layer makes no others.
  TextEncoding encode(const EncodedPrompt& prompt, const PictureTokens& picture,
                      const LayerHook& before_layer = {}) const;

  // Two prompts at once: what both begin with is computed once, and every weight is read once.
  std::pair<TextEncoding, TextEncoding> encode_pair(const EncodedPrompt& first, const EncodedPrompt& second,
                                                    const PictureTokens& picture,
                                                    const LayerHook& before_layer = {}) const;

 private:
  struct Layer {
    StreamedBlock block;
    at::Tensor norm1;
    at::Tensor qkv_weight;
    at::Tensor qkv_bias;
    Linear out;
    at::Tensor norm2;
    Linear gate_up;
    Linear down;
  };
  // One token row after the other, and what each may see.
  struct Sequence;

  // Rows from `first_row` on, after the final norm.
  at::Tensor run(const at::Tensor& embeds, const Sequence& sequence, std::int64_t first_row,
                 const LayerHook& before_layer) const;
  at::Tensor run_layer(const Layer& layer, const at::Tensor& x, const Rotation& rotation, const at::Tensor& mask,
                       std::int64_t first_row) const;
  at::Tensor embed(const Sequence& sequence, const PictureTokens& picture) const;

  TextEncoderConfig config_;
  VisionTower vision_;
  at::Tensor embedding_;
  std::vector<Layer> layers_;
  at::Tensor norm_;
};

}  // namespace step1x
