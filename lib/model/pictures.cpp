#include "model/pictures.hpp"

#include <ATen/ops/_upsample_bilinear2d_aa.h>

#include <algorithm>

#include "base/error.hpp"

namespace step1x {

namespace {

// (1, 3, height, width), uint8
at::Tensor bytes_tensor(RgbView picture) {
  const at::Tensor rows = at::empty({1, picture.height, picture.width, 3}, at::kByte);
  std::ranges::copy(picture.bytes, rows.mutable_data_ptr<std::uint8_t>());
  return rows.permute({0, 3, 1, 2}).contiguous();
}

at::Tensor to_signed(const at::Tensor& bytes) {
  return bytes.to(at::kFloat) / 255 * 2 - 1;
}

ResizeOrder order_of(LayoutKind layout) {
  return layout == LayoutKind::flat ? ResizeOrder::rows_first : ResizeOrder::cheaper_first;
}

}  // namespace

at::Tensor picture_tensor(RgbView picture) {
  return to_signed(bytes_tensor(picture));
}

// ImageGenerator.output_process_image:
// https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/inference.py#L323-L325
// VaeImageProcessor.postprocess:
// https://github.com/Peyton-Chen/diffusers/blob/16900b755f21/src/diffusers/image_processor.py#L743-L791
Picture picture_of(const at::Tensor& x, LayoutKind layout) {
  const at::Tensor scaled = (x.to(at::kFloat).clamp(-1, 1) * 0.5 + 0.5) * 255;
  const at::Tensor whole = layout == LayoutKind::flat ? scaled : scaled.round();
  const at::Tensor rows = whole.to(at::kByte).squeeze(0).permute({1, 2, 0}).contiguous().cpu();  // (height, width, 3)
  const auto* first = rows.const_data_ptr<std::uint8_t>();
  return {{static_cast<int>(rows.size(1)), static_cast<int>(rows.size(0))}, {first, first + rows.numel()}};
}

// ImageGenerator.input_process_image:
// https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/inference.py#L327-L342
// For v1.2 Step1XEditPipelineV1P2.encode_image:
// https://github.com/Peyton-Chen/diffusers/blob/16900b755f21/src/diffusers/pipelines/step1x_edit/pipeline_step1x_edit_v1p2.py#L658-L702
WorkingPicture working_picture(RgbView picture, int size_level, std::int64_t multiple, LayoutKind layout,
                               ModelVersion version) {
  const PictureSize size = edit_size({picture.width, picture.height}, size_level, static_cast<int>(multiple));
  WorkingPicture result{{size, resize(picture, size, ResizeFilter::lanczos, order_of(layout))}, {}};
  if (version == ModelVersion::v1_2) {
    result.vae = at::_upsample_bilinear2d_aa(bytes_tensor(picture).to(at::kFloat) / 255, {size.height, size.width},
                                             /*align_corners=*/false) *
                     2 -
                 1;
  } else {
    result.vae = picture_tensor(result.encoder.view());
  }
  return result;
}

Picture resize_back(const Picture& picture, PictureSize size, LayoutKind layout) {
  return {size, resize(picture.view(), size, ResizeFilter::bicubic, order_of(layout))};
}

}  // namespace step1x
