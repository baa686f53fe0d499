// The vision half of the text encoder: patches of a picture in, one row a token out. Pure function of (weights, input),
// const after construction, any thread; the caller decides about gradients. Errors: Error(model_missing) from Weights.
// The source is Qwen2_5_VisionTransformerPretrainedModel of transformers:
// https://github.com/huggingface/transformers/blob/efa7189c5546/src/transformers/models/qwen2_5_vl/modeling_qwen2_5_vl.py
#pragma once

#include <functional>
#include <vector>

#include "model/text_rotary.hpp"
#include "model/vision_windows.hpp"
#include "nn/layers.hpp"

namespace step1x {

// Called before every layer with what the layer reads; throws to stop.
using LayerHook = std::function<void(const at::Tensor& input)>;

// (patches, 1, head_dim / 2): half of the angles turn with the row, half with the column.
Rotation vision_rotation(const PatchPositions& positions, const VisionConfig& config, at::Device device);

class VisionTower {
 public:
  VisionTower(const TextEncoderConfig& config, const Weights& weights);

  // What the layers read: patches in the order of `windows` (those of equal length side by side).
  struct Plan {
    VisionWindows windows;
    Rotation rotation;
  };
  Plan plan(PatchGrid grid, at::Device device) const;

  // The steps of forward, each on its own for comparison. pixels: (patches, patch_values) in reading order of tokens;
  // hidden: (patches, hidden) in the plan's order.
  at::Tensor embed(const at::Tensor& pixels) const;                                       // -> reading order
  at::Tensor sort(const at::Tensor& embedded, const Plan& plan) const;                    // -> plan's order
  at::Tensor layer(std::size_t index, const at::Tensor& hidden, const Plan& plan) const;  // -> same
  at::Tensor merge(const at::Tensor& hidden, const Plan& plan) const;                     // -> (tokens, out)

  // (patches, patch_values), as encoder_patches cuts them -> (tokens, the text model's hidden), in reading order.
  at::Tensor forward(const at::Tensor& pixels, PatchGrid grid, const LayerHook& before_layer = {}) const;

 private:
  struct Layer {
    StreamedBlock block;
    at::Tensor norm1;
    Linear qkv;
    Linear out;
    at::Tensor norm2;
    Linear gate_up;
    Linear down;
    bool full = false;  // attends to the whole picture
  };
  at::Tensor attend(const at::Tensor& qkv, const Plan& plan, bool full) const;

  VisionConfig config_;
  at::Tensor patch_weight_;  // (hidden, patch_values): the convolution's steps do not overlap
  std::vector<Layer> layers_;
  at::Tensor merge_norm_;
  Linear merge_in_;
  Linear merge_out_;
};

}  // namespace step1x
