#include "model/transformer_blocks.hpp"

namespace step1x {

namespace {

constexpr double kEpsilon = 1e-6;

at::Tensor tanh_gelu(const at::Tensor& x) {
  return at::gelu(x, "tanh");
}

// (rows, parts * hidden) -> parts x (rows, 1, hidden)
std::vector<at::Tensor> parts_of(const at::Tensor& modulation, std::int64_t parts) {
  return modulation.unsqueeze(1).chunk(parts, -1);
}

at::Tensor merge_heads(const at::Tensor& x) {
  return x.transpose(1, 2).flatten(2);  // (batch, heads, n, d) -> (batch, n, heads * d)
}

RopeTable rows(const RopeTable& table, std::int64_t first, std::int64_t count) {
  return {table.cos.narrow(1, first, count), table.sin.narrow(1, first, count)};
}

}  // namespace

QkvNorm::QkvNorm(const Weights& weights, const std::string& name, const TransformerConfig& config)
    : heads_(config.heads),
      query_scale_(weights.at(name + ".query_norm.scale", {config.hidden_size / config.heads})),
      key_scale_(weights.at(name + ".key_norm.scale", {config.hidden_size / config.heads})) {}

at::Tensor QkvNorm::values(const at::Tensor& x) const {
  return x.unflatten(-1, {heads_, -1}).transpose(1, 2);  // (batch, heads, n, head_dim)
}

// QKNorm.forward: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/layers.py#L501-L504
at::Tensor QkvNorm::queries(const at::Tensor& x) const {
  return rms_norm(values(x), query_scale_, kEpsilon);
}

at::Tensor QkvNorm::keys(const at::Tensor& x) const {
  return rms_norm(values(x), key_scale_, kEpsilon);
}

QkvNorm::Heads QkvNorm::split(const at::Tensor& qkv) const {
  const std::vector<at::Tensor> thirds = qkv.chunk(3, -1);  // 3 x (batch, n, hidden)
  return {queries(thirds[0]), keys(thirds[1]), values(thirds[2])};
}

DoubleBlock::Half::Half(const Weights& weights, const std::string& name, const TransformerConfig& config)
    : modulation(weights, name + "_mod.lin", config.hidden_size, 6 * config.hidden_size),
      qkv(weights, name + "_attn.qkv", config.hidden_size, 3 * config.hidden_size, config.qkv_bias),
      proj(weights, name + "_attn.proj", config.hidden_size, config.hidden_size),
      mlp_in(weights, name + "_mlp.0", config.hidden_size, config.mlp_size),
      mlp_out(weights, name + "_mlp.2", config.mlp_size, config.hidden_size),
      norm(weights, name + "_attn.norm", config) {}

at::Tensor DoubleBlock::Half::mlp(const at::Tensor& x, const std::vector<at::Tensor>& m) const {
  return at::addcmul(x, m[5], mlp_out(tanh_gelu(mlp_in(modulated_norm(x, m[3], m[4], kEpsilon)))));
}

DoubleBlock::DoubleBlock(const Weights& weights, const std::string& name, const TransformerConfig& config)
    : modulation_block_(weights.streamed(name + ".img_mod.lin.weight")),
      block_(weights.streamed(name + ".img_attn.qkv.weight")),
      img_(weights, name + ".img", config),
      txt_(weights, name + ".txt", config) {}

// Modulation.forward: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/layers.py#L514-L522
DoubleBlock::Streams DoubleBlock::modulate(const at::Tensor& vec) const {
  const BlockInUse in_use(modulation_block_);
  const at::Tensor active = at::silu(vec);
  return {img_.modulation(active), txt_.modulation(active)};
}

// DoubleStreamBlock.forward: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/layers.py#L618-L639
DoubleBlock::Streams DoubleBlock::forward(const Streams& x, const Streams& modulation, const Sequence& sequence) const {
  // each 6 x (batch, 1, hidden): shift, scale and gate of attention, then of the mlp
  const std::vector<at::Tensor> im = parts_of(modulation.img, 6);
  const std::vector<at::Tensor> tm = parts_of(modulation.txt, 6);
  const QkvNorm::Heads img = img_.norm.split(img_.qkv(modulated_norm(x.img, im[0], im[1], kEpsilon)));
  const QkvNorm::Heads txt = txt_.norm.split(txt_.qkv(modulated_norm(x.txt, tm[0], tm[1], kEpsilon)));

  const at::Tensor q = apply_rope(at::cat({txt.q, img.q}, 2), sequence.rope);  // (batch, heads, length + n, head_dim)
  const at::Tensor k = apply_rope(at::cat({txt.k, img.k}, 2), sequence.rope);
  const at::Tensor v = at::cat({txt.v, img.v}, 2);
  const at::Tensor attended = merge_heads(attention(q, k, v, sequence.repeated));  // (batch, length + n, hidden)
  const std::int64_t length = x.txt.size(1);
  const at::Tensor txt_attended = attended.narrow(1, 0, length);
  const at::Tensor img_attended = attended.narrow(1, length, x.img.size(1));

  return {img_.mlp(at::addcmul(x.img, im[2], img_.proj(img_attended)), im),
          txt_.mlp(at::addcmul(x.txt, tm[2], txt_.proj(txt_attended)), tm)};
}

SingleBlock::SingleBlock(const Weights& weights, const std::string& name, const TransformerConfig& config)
    : modulation_block_(weights.streamed(name + ".modulation.lin.weight")),
      block_(weights.streamed(name + ".linear1.weight")),
      hidden_(config.hidden_size),
      mlp_size_(config.mlp_size),
      modulation_(weights, name + ".modulation.lin", hidden_, 3 * hidden_),
      linear1_(weights, name + ".linear1", hidden_, 3 * hidden_ + mlp_size_),
      linear2_(weights, name + ".linear2", hidden_ + mlp_size_, hidden_),
      norm_(weights, name + ".norm", config) {}

at::Tensor SingleBlock::modulate(const at::Tensor& vec) const {
  const BlockInUse in_use(modulation_block_);
  return modulation_(at::silu(vec));
}

// SingleStreamBlock.forward: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/layers.py#L701-L720
at::Tensor SingleBlock::forward(const at::Tensor& x, const at::Tensor& modulation, const Sequence& sequence) const {
  const std::vector<at::Tensor> m = parts_of(modulation, 3);  // shift, scale, gate: (batch, 1, hidden)
  const std::vector<at::Tensor> in =
      linear1_(modulated_norm(x, m[0], m[1], kEpsilon)).split_with_sizes({3 * hidden_, mlp_size_}, -1);
  const QkvNorm::Heads heads = norm_.split(in[0]);
  const at::Tensor attended = merge_heads(
      attention(apply_rope(heads.q, sequence.rope), apply_rope(heads.k, sequence.rope), heads.v, sequence.repeated));
  return at::addcmul(x, m[2], linear2_(at::cat({attended, tanh_gelu(in[1])}, -1)));
}

at::Tensor SingleBlock::forward_part(const at::Tensor& x, const at::Tensor& modulation, const Sequence& sequence,
                                     std::int64_t first, std::int64_t count) const {
  const std::vector<at::Tensor> m = parts_of(modulation, 3);
  const at::Tensor normed = modulated_norm(x, m[0], m[1], kEpsilon);  // (batch, tokens, hidden)
  const at::Tensor own = normed.narrow(1, first, count);              // (batch, count, hidden)
  const at::Tensor q = apply_rope(norm_.queries(linear1_.part(own, 0, hidden_)), rows(sequence.rope, first, count));
  const std::vector<at::Tensor> kv = linear1_.part(normed, hidden_, 2 * hidden_).chunk(2, -1);
  const at::Tensor k = apply_rope(norm_.keys(kv[0]), sequence.rope);
  const at::Tensor attended = merge_heads(attention(q, k, norm_.values(kv[1]), sequence.repeated));
  const at::Tensor mlp = tanh_gelu(linear1_.part(own, 3 * hidden_, mlp_size_));
  const at::Tensor change = linear2_(at::cat({attended, mlp}, -1));  // (batch, count, hidden)
  return at::addcmul(x.narrow(1, first, count), m[2], change);
}

FinalLayer::FinalLayer(const Weights& weights, const std::string& name, const TransformerConfig& config)
    : modulation_(weights, name + ".adaLN_modulation.1", config.hidden_size, 2 * config.hidden_size),
      linear_(weights, name + ".linear", config.hidden_size, config.out_channels) {}

at::Tensor FinalLayer::modulate(const at::Tensor& vec) const {
  return modulation_(at::silu(vec));
}

at::Tensor FinalLayer::normalize(const at::Tensor& x, const at::Tensor& modulation) const {
  const std::vector<at::Tensor> m = parts_of(modulation, 2);  // shift, scale
  return modulated_norm(x, m[0], m[1], kEpsilon);
}

// LastLayer.forward: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/modules/layers.py#L733-L737
at::Tensor FinalLayer::forward(const at::Tensor& x, const at::Tensor& modulation) const {
  return linear_(normalize(x, modulation));
}

}  // namespace step1x
