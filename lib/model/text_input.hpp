// A prompt as the transformer's side takes it: the text encoder's rows, which of them count, and where they stand.
// Pure functions, any thread.
#pragma once

#include <cstdint>

#include "image/resize.hpp"
#include "model/text_encoder.hpp"
#include "text/prompt.hpp"
#include "weights/layout.hpp"

namespace step1x {

struct TextInput {
  at::Tensor states;  // (1, kept, in): the rows of the prompt
  at::Tensor ids;     // (1, kept, 3)
  // Rows of zeros after them (v1.0, v1.1), all at position 0: they are alike, and stay alike in every block.
  std::int64_t padding = 0;
  // v1.2, or undefined.
  at::Tensor embeddings;  // (1, kept, in)
  at::Tensor quoted;      // (1, kept)
};

// What v1.2's positions of the picture's tokens are made of.
struct PictureGeometry {
  PatchGrid tokens;         // rows and columns of tokens in the text
  PictureSize encoder;      // the picture as the text encoder's patches see it
  PictureSize working;      // and as the VAE sees it
  std::int64_t factor = 8;  // pixels per latent element
};

TextInput text_input(const EncodedPrompt& prompt, const TextEncoding& encoding, ModelVersion version,
                     const PictureGeometry& picture, std::int64_t image_token);

// (length, 3), float32: (time, row, column). Text counts up to -1 on the time axis; the picture's tokens share a time
// and stand where they are in the picture, in units of the transformer's tokens.
at::Tensor text_ids_v1_2(const EncodedPrompt& prompt, const PictureGeometry& picture, std::int64_t image_token);

}  // namespace step1x
