#include "nn/rope.hpp"

namespace step1x {

namespace {

// rope: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/layers.py#L386-L395
// ids: (batch, n) -> angles (batch, n, dim / 2)
at::Tensor axis_angles(const at::Tensor& ids, std::int64_t dim, double theta) {
  const at::Tensor exponent = at::arange(0, dim, 2, ids.options().dtype(at::kDouble)) / dim;  // (dim / 2)
  const at::Tensor omega = at::pow(theta, exponent).reciprocal();
  return ids.to(at::kDouble).unsqueeze(-1) * omega;  // (batch, n, dim / 2)
}

}  // namespace

// EmbedND.forward: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/layers.py#L351-L358
RopeTable rope_table(const at::Tensor& ids, const std::vector<std::int64_t>& axes_dim, double theta) {
  std::vector<at::Tensor> angles;
  angles.reserve(axes_dim.size());
  for (std::size_t axis = 0; axis < axes_dim.size(); ++axis) {
    angles.push_back(axis_angles(ids.select(-1, static_cast<std::int64_t>(axis)), axes_dim[axis], theta));
  }
  const at::Tensor all = at::cat(angles, -1);  // (batch, n, head_dim / 2)
  return {all.cos().to(at::kFloat), all.sin().to(at::kFloat)};
}

// apply_rope: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/layers.py#L407-L425
at::Tensor apply_rope(const at::Tensor& x, const RopeTable& table) {
  // As complex numbers the pairs are turned in one pass.
  const at::Tensor pairs = at::view_as_complex(x.to(at::kFloat).unflatten(-1, {-1, 2}));  // (batch, heads, n, d / 2)
  const at::Tensor turn = at::complex(table.cos, table.sin).unsqueeze(1);                 // (batch, 1, n, d / 2)
  return at::view_as_real(pairs * turn).flatten(-2).to(x.scalar_type());                  // (batch, heads, n, head_dim)
}

}  // namespace step1x
