#include "model/packing.hpp"

namespace step1x {

// ImageGenerator.prepare: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/inference.py#L155-L205
at::Tensor pack(const at::Tensor& latents) {
  const std::int64_t rows = latents.size(2) / kTokenSide;
  const std::int64_t columns = latents.size(3) / kTokenSide;
  return latents.reshape({latents.size(0), latents.size(1), rows, kTokenSide, columns, kTokenSide})
      .permute({0, 2, 4, 1, 3, 5})  // (batch, h, w, channels, 2, 2)
      .reshape({latents.size(0), rows * columns, latents.size(1) * kTokenSide * kTokenSide});
}

// ImageGenerator.unpack: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/inference.py#L291-L300
at::Tensor unpack(const at::Tensor& tokens, std::int64_t rows, std::int64_t columns) {
  const std::int64_t channels = tokens.size(2) / (kTokenSide * kTokenSide);
  return tokens.reshape({tokens.size(0), rows, columns, channels, kTokenSide, kTokenSide})
      .permute({0, 3, 1, 4, 2, 5})  // (batch, channels, h, 2, w, 2)
      .reshape({tokens.size(0), channels, rows * kTokenSide, columns * kTokenSide});
}

at::Tensor image_ids(std::int64_t rows, std::int64_t columns, const std::array<double, 3>& offset,
                     const at::TensorOptions& options) {
  const at::TensorOptions wide = options.dtype(at::kFloat);
  const at::Tensor time = at::full({rows, columns}, offset[0], wide);
  const at::Tensor row = (at::arange(rows, wide) + offset[1]).unsqueeze(1).expand({rows, columns});
  const at::Tensor column = (at::arange(columns, wide) + offset[2]).unsqueeze(0).expand({rows, columns});
  return at::stack({time, row, column}, -1).reshape({rows * columns, 3});
}

}  // namespace step1x
