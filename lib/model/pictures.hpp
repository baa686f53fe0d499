// Pictures between bytes and the VAE's tensors, as each layout's reference does it. Pure functions, any thread.
// Errors: Error(bad_image) for a size that cannot be worked with.
#pragma once

#include <cstdint>
#include <vector>

#include "image/resize.hpp"
#include "nn/aten.hpp"
#include "weights/layout.hpp"

namespace step1x {

struct Picture {
  PictureSize size;
  std::vector<std::uint8_t> rgb;  // height * width * 3

  RgbView view() const { return {size.width, size.height, rgb}; }
};

// Bytes to (1, 3, height, width) in [-1, 1], float32.
at::Tensor picture_tensor(RgbView picture);
// And back: clamped, then cut off (native) or rounded (diffusers). x: (1, 3, height, width)
Picture picture_of(const at::Tensor& x, LayoutKind layout);

// The picture that is edited, at its working size: for the text encoder, and for the VAE.
struct WorkingPicture {
  Picture encoder;
  at::Tensor vae;  // (1, 3, height, width)
};
// `multiple`: of both sides.
WorkingPicture working_picture(RgbView picture, int size_level, std::int64_t multiple, LayoutKind layout,
                               ModelVersion version);
// The result of an edit, at the size of its input.
Picture resize_back(const Picture& picture, PictureSize size, LayoutKind layout);

}  // namespace step1x
