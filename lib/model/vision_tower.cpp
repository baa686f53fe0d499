#include "model/vision_tower.hpp"

#include <ATen/ops/index_select.h>

#include <algorithm>

#include "base/error.hpp"

namespace step1x {

namespace {

constexpr double kNormEpsilon = 1e-6;  // the reference's, whatever the configuration says
constexpr double kTheta = 10000;

at::Tensor patch_weight(const Weights& weights, const VisionConfig& config) {
  return weights
      .at("visual.patch_embed.proj.weight",
          {config.hidden, config.channels, config.temporal_patch_size, config.patch_size, config.patch_size})
      .reshape({config.hidden, config.patch_values()});
}

}  // namespace

Rotation vision_rotation(const PatchPositions& positions, const VisionConfig& config, at::Device device) {
  const std::int64_t dim = config.head_dim() / 2;
  const RotationPart parts[] = {{positions.rows, 0, dim / 2}, {positions.columns, 0, dim / 2}};
  return make_rotation(parts, kTheta, dim, device);
}

VisionTower::VisionTower(const TextEncoderConfig& config, const Weights& weights)
    : config_(config.vision),
      patch_weight_(patch_weight(weights, config.vision)),
      merge_norm_(weights.at("visual.merger.ln_q.weight", {config_.hidden})),
      merge_in_(weights, "visual.merger.mlp.0", config_.merged(), config_.merged()),
      merge_out_(weights, "visual.merger.mlp.2", config_.merged(), config.hidden) {
  for (std::int64_t i = 0; i < config_.layers; ++i) {
    const std::string name = fmt::format("visual.blocks.{}.", i);
    layers_.push_back({
        .block = weights.streamed(name + "norm1.weight"),
        .norm1 = weights.at(name + "norm1.weight", {config_.hidden}),
        .qkv = Linear(weights, name + "attn.qkv", config_.hidden, 3 * config_.hidden),
        .out = Linear(weights, name + "attn.proj", config_.hidden, config_.hidden),
        .norm2 = weights.at(name + "norm2.weight", {config_.hidden}),
        .gate_up = Linear(weights, name + "mlp.gate_up", config_.hidden, 2 * config_.intermediate),
        .down = Linear(weights, name + "mlp.down_proj", config_.intermediate, config_.hidden),
        .full = std::ranges::find(config_.full_attention_layers, i) != config_.full_attention_layers.end(),
    });
  }
}

VisionTower::Plan VisionTower::plan(PatchGrid grid, at::Device device) const {
  VisionWindows windows = sort_by_length(vision_windows(grid, config_));
  const PatchPositions positions = patch_positions(windows.order, grid, config_.merge_size);
  return {std::move(windows), vision_rotation(positions, config_, device)};
}

at::Tensor VisionTower::embed(const at::Tensor& pixels) const {
  return at::linear(pixels.to(patch_weight_.options()), patch_weight_);
}

at::Tensor VisionTower::sort(const at::Tensor& embedded, const Plan& plan) const {
  const std::int64_t patches = config_.merge_size * config_.merge_size;
  return embedded
      .view({-1, patches, config_.hidden})                                   // (tokens, patches, hidden)
      .index_select(0, index_tensor(plan.windows.order, embedded.device()))  // the same
      .view({-1, config_.hidden});                                           // (patches, hidden)
}

at::Tensor VisionTower::attend(const at::Tensor& qkv, const Plan& plan, bool full) const {
  const std::int64_t heads = config_.heads;
  const auto parts = qkv.view({-1, 3, heads, config_.head_dim()}).unbind(1);  // 3 x (patches, heads, d)
  const at::Tensor q = rotate(parts[0], plan.rotation);
  const at::Tensor k = rotate(parts[1], plan.rotation);
  const at::Tensor& v = parts[2];
  // `count` windows of `length` patches from `start` on, all at once.
  const auto windows = [&](std::int64_t start, std::int64_t count, std::int64_t length) {
    const auto cut = [&](const at::Tensor& x) {
      return x.narrow(0, start, count * length)
          .unflatten(0, {count, length})
          .transpose(1, 2);  // (windows, heads, length, d)
    };
    return attention(cut(q), cut(k), cut(v)).transpose(1, 2).reshape({count * length, config_.hidden});
  };
  if (full) return windows(0, 1, qkv.size(0));

  const std::int64_t patches = config_.merge_size * config_.merge_size;
  const std::vector<std::int64_t>& lengths = plan.windows.lengths;
  std::vector<at::Tensor> rows;
  std::int64_t start = 0;
  for (auto it = lengths.begin(); it != lengths.end();) {
    const auto end = std::find_if(it, lengths.end(), [&](std::int64_t length) { return length != *it; });
    rows.push_back(windows(start, end - it, *it * patches));
    start += rows.back().size(0);
    it = end;
  }
  return at::cat(rows, 0);  // (patches, hidden)
}

at::Tensor VisionTower::layer(std::size_t index, const at::Tensor& hidden, const Plan& plan) const {
  const Layer& layer = layers_.at(index);
  const BlockInUse in_use(layer.block);
  const at::Tensor qkv = layer.qkv(rms_norm(hidden, layer.norm1, kNormEpsilon));  // (patches, 3 hidden)
  const at::Tensor x = hidden + layer.out(attend(qkv, plan, layer.full));
  const auto gate_up = layer.gate_up(rms_norm(x, layer.norm2, kNormEpsilon)).chunk(2, -1);
  return x + layer.down(at::silu(gate_up[0]) * gate_up[1]);
}

at::Tensor VisionTower::merge(const at::Tensor& hidden, const Plan& plan) const {
  const at::Tensor x = rms_norm(hidden, merge_norm_, kNormEpsilon).view({-1, config_.merged()});  // (tokens, 4 hidden)
  const at::Tensor rows = merge_out_(at::gelu(merge_in_(x)));                                     // (tokens, out)
  return rows.index_select(0, index_tensor(inverse(plan.windows.order), rows.device()));
}

at::Tensor VisionTower::forward(const at::Tensor& pixels, PatchGrid grid, const LayerHook& before_layer) const {
  if (pixels.dim() != 2 || pixels.size(0) != grid.patches() || pixels.size(1) != config_.patch_values()) {
    throw Error::format(ErrorCode::failure, "the vision tower was given {} values for a grid of {}x{} patches",
                        pixels.numel(), grid.rows, grid.columns);
  }
  const Plan order = plan(grid, patch_weight_.device());
  at::Tensor x = sort(embed(pixels), order);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (before_layer) before_layer(x);
    x = layer(i, x, order);
  }
  return merge(x, order);
}

}  // namespace step1x
