#include "model/encoder_patches.hpp"

#include <ATen/ops/_upsample_bicubic2d_aa.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/error.hpp"
#include "weights/json_file.hpp"

namespace step1x {

namespace {

using nlohmann::json;

// Pictures are made smaller for the one and larger for the other, which takes memory.
constexpr std::int64_t kMaxPixels = std::int64_t{1} << 32;
constexpr std::int64_t kMostMinPixels = std::int64_t{1} << 22;

void take_pixels(const json& object, const char* key, std::int64_t most, std::int64_t& value, const std::string& file) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return;
  if (!found->is_number_integer() || *found < 1 || *found > most) {
    throw Error::format(ErrorCode::model_missing, "{}: '{}' is {}, expected a number of pixels from 1 to {}", file, key,
                        brief(*found), most);
  }
  value = found->get<std::int64_t>();
}

void take_size(const json& object, const char* key, int& value, const std::string& file) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return;
  if (!found->is_number_integer() || *found < 1 || *found > 1000) {
    throw Error::format(ErrorCode::model_missing, "{}: '{}' is {}, expected a small whole number", file, key,
                        brief(*found));
  }
  value = found->get<int>();
}

// What is always done here.
void need_true(const json& object, const char* key, const std::string& file) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null() || *found == true) return;
  throw Error::format(ErrorCode::model_missing, "{}: '{}' is {}, expected true", file, key, brief(*found));
}

// Of colours from 0 to 1. `least` keeps a divisor from being zero.
void take_channels(const json& object, const char* key, double least, std::array<double, 3>& values,
                   const std::string& file) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return;
  const bool fits =
      found->is_array() && found->size() == values.size() &&
      std::ranges::all_of(*found, [&](const json& each) { return each.is_number() && each >= least && each <= 1; });
  if (!fits) {
    throw Error::format(ErrorCode::model_missing, "{}: '{}' is {}, expected three numbers from {} to 1", file, key,
                        brief(*found), least);
  }
  values = found->get<std::array<double, 3>>();
}

// torchvision's bicubic with antialiasing, which the image processor of the diffusers pipelines uses: its weights have
// fewer bits than Pillow's, so that some values differ by one.
// https://github.com/pytorch/vision/blob/b52f7a79521a/torchvision/transforms/_functional_tensor.py (resize)
std::vector<std::uint8_t> resize_as_torchvision(RgbView picture, PictureSize size) {
  const at::Tensor pixels = at::empty({1, picture.height, picture.width, 3}, at::kByte);
  std::ranges::copy(picture.bytes, pixels.mutable_data_ptr<std::uint8_t>());
  const at::Tensor resized = at::_upsample_bicubic2d_aa(pixels.permute({0, 3, 1, 2}), {size.height, size.width},
                                                        /*align_corners=*/false)
                                 .permute({0, 2, 3, 1})
                                 .contiguous();
  const auto* first = resized.const_data_ptr<std::uint8_t>();
  return {first, first + resized.numel()};
}

}  // namespace

EncoderPictureConfig read_encoder_picture_config(const ModelLayout& layout, const json& text) {
  EncoderPictureConfig config;
  config.twice = layout.version != ModelVersion::v1_2;
  if (layout.version == ModelVersion::v1_2) config.max_pixels = 400 * 28 * 28;
  if (!layout.processor_config.empty()) {
    const json processor = read_json_object(layout.processor_config);
    const std::string file = layout.processor_config.string();
    for (const char* step : {"do_convert_rgb", "do_resize", "do_rescale", "do_normalize"})
      need_true(processor, step, file);
    if (const auto factor = processor.find("rescale_factor");
        factor != processor.end() && (!factor->is_number() || std::abs(factor->get<double>() * 255 - 1) > 1e-6)) {
      throw Error::format(ErrorCode::model_missing, "{}: 'rescale_factor' is {}, expected 1/255", file, brief(*factor));
    }
    take_size(processor, "patch_size", config.patch_size, file);
    take_size(processor, "merge_size", config.merge_size, file);
    take_size(processor, "temporal_patch_size", config.temporal_patch_size, file);
    take_channels(processor, "image_mean", 0, config.mean, file);
    take_channels(processor, "image_std", 1e-3, config.deviation, file);
    // The native code overrides this range.
    if (layout.kind == LayoutKind::diffusers) {
      if (const auto size = processor.find("size"); size != processor.end() && size->is_object()) {
        take_pixels(*size, "shortest_edge", kMostMinPixels, config.min_pixels, file);
        take_pixels(*size, "longest_edge", kMaxPixels, config.max_pixels, file);
      }
      take_pixels(processor, "min_pixels", kMostMinPixels, config.min_pixels, file);
      take_pixels(processor, "max_pixels", kMaxPixels, config.max_pixels, file);
    }
  }
  if (text.is_object()) {
    take_pixels(text, "min_pixels", kMostMinPixels, config.min_pixels, layout.config.string());
    take_pixels(text, "max_pixels", kMaxPixels, config.max_pixels, layout.config.string());
  }
  return config;
}

EncoderPatches encoder_patches(RgbView picture, const EncoderPictureConfig& config, LayoutKind kind) {
  const EncoderPicture resized =
      encoder_picture(picture, config, kind == LayoutKind::flat ? PictureResize() : resize_as_torchvision);
  const std::vector<float> values = encoder_patches(resized, config);
  const std::int64_t patches = std::int64_t{resized.grid_rows} * resized.grid_columns;
  const at::Tensor pixels = at::empty({patches, std::ssize(values) / patches}, at::kFloat);
  std::ranges::copy(values, pixels.mutable_data_ptr<float>());
  return {pixels, {resized.grid_rows, resized.grid_columns}, static_cast<std::size_t>(resized.tokens)};
}

}  // namespace step1x
