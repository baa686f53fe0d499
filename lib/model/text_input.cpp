#include "model/text_input.hpp"

#include <algorithm>
#include <vector>

#include "base/error.hpp"
#include "model/packing.hpp"

namespace step1x {

namespace {

// Where the middle of the encoder's token `index` falls on the axis of the transformer's tokens. The corners of the two
// pictures coincide: pixel 0 is pixel 0, the last is the last.
double place(std::int64_t index, std::int64_t tokens, int encoder, int working, std::int64_t factor) {
  const double side = static_cast<double>(encoder) / static_cast<double>(tokens);  // pixels of a token
  const double middle = (static_cast<double>(index) + 0.5) * side - 0.5;
  const double pixel = middle * (working - 1) / (encoder - 1);
  const double latent = (pixel - static_cast<double>(factor - 1)) / static_cast<double>(factor);
  return (latent - static_cast<double>(kTokenSide - 1) / 2) / static_cast<double>(kTokenSide);
}

}  // namespace

// The positions of text and picture, as Step1XEditPipelineV1P2.set_vision_tokens_position_ids has them:
// https://github.com/Peyton-Chen/diffusers/blob/16900b755f21/src/diffusers/pipelines/step1x_edit/pipeline_step1x_edit_v1p2.py#L377-L403
at::Tensor text_ids_v1_2(const EncodedPrompt& prompt, const PictureGeometry& picture, std::int64_t image_token) {
  const auto count = static_cast<std::int64_t>(prompt.kept);
  std::vector<float> values;
  values.reserve(prompt.kept * 3);
  std::int64_t time = 0;
  std::int64_t seen = 0;
  const std::int64_t pictured = picture.tokens.rows * picture.tokens.columns;
  for (std::size_t i = prompt.drop; i < prompt.drop + prompt.kept; ++i) {
    double row = 0;
    double column = 0;
    const auto now = static_cast<float>(time);
    if (prompt.ids[i] == image_token && seen < pictured) {
      row = place(seen / picture.tokens.columns, picture.tokens.rows, picture.encoder.height, picture.working.height,
                  picture.factor);
      column = place(seen % picture.tokens.columns, picture.tokens.columns, picture.encoder.width,
                     picture.working.width, picture.factor);
      if (++seen == pictured) time += std::max(picture.tokens.rows, picture.tokens.columns);
    } else {
      ++time;
    }
    values.insert(values.end(), {now, static_cast<float>(row), static_cast<float>(column)});
  }
  for (std::size_t i = 0; i < values.size(); i += 3) values[i] -= static_cast<float>(time);
  return at::tensor(values, at::kFloat).reshape({count, 3});
}

TextInput text_input(const EncodedPrompt& prompt, const TextEncoding& encoding, ModelVersion version,
                     const PictureGeometry& picture, std::int64_t image_token) {
  TextInput input;
  input.states = encoding.hidden.unsqueeze(0);
  input.padding = static_cast<std::int64_t>(prompt.length - prompt.kept);
  const at::TensorOptions options = encoding.hidden.options().dtype(at::kFloat);
  if (version == ModelVersion::v1_2) {
    input.ids = text_ids_v1_2(prompt, picture, image_token).to(options.device()).unsqueeze(0);
    input.embeddings = encoding.embeds.unsqueeze(0);
    std::vector<float> quoted(prompt.kept);
    std::copy_n(prompt.quoted.begin() + static_cast<std::ptrdiff_t>(prompt.drop), prompt.kept, quoted.begin());
    input.quoted = at::tensor(quoted, at::kFloat).to(options.device()).unsqueeze(0);
  } else {
    input.ids = at::zeros({1, static_cast<std::int64_t>(prompt.kept), 3}, options);
  }
  return input;
}

}  // namespace step1x
