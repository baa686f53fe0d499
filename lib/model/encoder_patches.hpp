// From a picture to what the vision tower reads, as the model's own files want it. Pure functions but for the files.
// Errors: Error(bad_image) for shapes that the encoder refuses, Error(model_missing) for a configuration file.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "image/encoder_picture.hpp"
#include "model/vision_windows.hpp"
#include "nn/aten.hpp"
#include "weights/layout.hpp"

namespace step1x {

// Sizes, mean and deviation of preprocessor_config.json. The native code (flat layout) has its own range of pixels,
// which `text`, the object of that name in the flat folder's config.json, may replace.
EncoderPictureConfig read_encoder_picture_config(const ModelLayout& layout, const nlohmann::json& text);

struct EncoderPatches {
  at::Tensor pixels;  // (patches, patch_values), float32
  PatchGrid grid;
  std::size_t tokens = 0;
};

// `picture` is the edit's input at its working size.
EncoderPatches encoder_patches(RgbView picture, const EncoderPictureConfig& config, LayoutKind kind);

}  // namespace step1x
