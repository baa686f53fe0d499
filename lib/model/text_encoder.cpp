#include "model/text_encoder.hpp"

#include <ATen/ops/embedding.h>
#include <ATen/ops/index_select.h>

#include <algorithm>
#include <limits>

#include "base/error.hpp"

namespace step1x {

struct TextEncoder::Sequence {
  std::vector<std::int64_t> ids;
  TextPositions positions;
  std::vector<std::int64_t> picture_rows;  // -1 for text
  std::vector<std::uint8_t> attended;
  // Row i sees the attended rows of [0, shared) and [from[i], i].
  std::int64_t shared = 0;
  std::vector<std::int64_t> from;

  std::int64_t size() const { return std::ssize(ids); }
  // Plain causal attention, for which there is a faster kernel than with a mask.
  bool causal() const {
    return std::ranges::all_of(attended, [](auto each) { return each != 0; }) &&
           std::ranges::all_of(from, [](auto each) { return each == 0; });
  }
  void append(const EncodedPrompt& prompt, const TextPositions& all, const TextEncoderConfig& config,
              std::int64_t begin, std::int64_t end);
  at::Tensor mask(const at::TensorOptions& options) const;
};

void TextEncoder::Sequence::append(const EncodedPrompt& prompt, const TextPositions& all,
                                   const TextEncoderConfig& config, std::int64_t begin, std::int64_t end) {
  const std::int64_t start = size();
  std::int64_t picture_row = std::count(prompt.ids.begin(), prompt.ids.begin() + begin, config.image_token);
  for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
    ids.push_back(prompt.ids[i]);
    for (std::size_t axis = 0; axis < positions.size(); ++axis) positions[axis].push_back(all[axis][i]);
    picture_rows.push_back(prompt.ids[i] == config.image_token ? picture_row++ : -1);
    attended.push_back(prompt.attended[i]);
    from.push_back(start);
  }
}

at::Tensor TextEncoder::Sequence::mask(const at::TensorOptions& options) const {
  const std::int64_t n = size();
  at::Tensor result = at::full({n, n}, -std::numeric_limits<float>::infinity(), at::kFloat);
  auto* row = result.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < n; ++i, row += n) {
    bool any = false;
    const auto see = [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t j = begin; j < end; ++j) {
        if (attended[static_cast<std::size_t>(j)] == 0) continue;
        row[j] = 0;
        any = true;
      }
    };
    const std::int64_t own = from[static_cast<std::size_t>(i)];
    see(0, std::min(shared, own));
    see(own, i + 1);
    // Softmax over nothing is not a number.
    if (!any) row[i] = 0;
  }
  return result.to(options);
}

TextEncoder::TextEncoder(const TextEncoderConfig& config, const Weights& weights)
    : config_(config),
      vision_(config, weights),
      embedding_(weights.at("text.embed_tokens.weight", {config.vocabulary, config.hidden})),
      norm_(weights.at("text.norm.weight", {config.hidden})) {
  const std::int64_t qkv = config_.hidden + 2 * config_.kv_heads * config_.head_dim();
  for (std::int64_t i = 0; i < config_.layers; ++i) {
    const std::string name = fmt::format("text.layers.{}.", i);
    layers_.push_back({
        .block = weights.streamed(name + "input_layernorm.weight"),
        .norm1 = weights.at(name + "input_layernorm.weight", {config_.hidden}),
        .qkv_weight = weights.at(name + "self_attn.qkv.weight", {qkv, config_.hidden}),
        .qkv_bias = weights.at(name + "self_attn.qkv.bias", {qkv}),
        .out = Linear(weights, name + "self_attn.o_proj", config_.hidden, config_.hidden, /*bias=*/false),
        .norm2 = weights.at(name + "post_attention_layernorm.weight", {config_.hidden}),
        .gate_up = Linear(weights, name + "mlp.gate_up", config_.hidden, 2 * config_.intermediate, /*bias=*/false),
        .down = Linear(weights, name + "mlp.down_proj", config_.intermediate, config_.hidden, /*bias=*/false),
    });
  }
}

PictureTokens TextEncoder::encode_picture(const at::Tensor& pixels, PatchGrid grid,
                                          const LayerHook& before_layer) const {
  return {vision_.forward(pixels, grid, before_layer), grid};
}

at::Tensor TextEncoder::embed(const Sequence& sequence, const PictureTokens& picture) const {
  for (const std::int64_t id : sequence.ids) {
    if (id < 0 || id >= config_.vocabulary) {
      throw Error::format(ErrorCode::model_missing,
                          "the tokenizer gives id {} and the text encoder knows {}: they do not belong together", id,
                          config_.vocabulary);
    }
  }
  const at::Tensor words = at::embedding(embedding_, index_tensor(sequence.ids, embedding_.device()));
  // Row n + k of both together is the picture's row k.
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < sequence.size(); ++i) {
    const std::int64_t row = sequence.picture_rows[static_cast<std::size_t>(i)];
    rows.push_back(row < 0 ? i : sequence.size() + row);
  }
  return at::cat({words, picture.rows.to(words.options())}, 0)
      .index_select(0, index_tensor(rows, words.device()));  // (tokens, hidden)
}

at::Tensor TextEncoder::run_layer(const Layer& layer, const at::Tensor& x, const Rotation& rotation,
                                  const at::Tensor& mask, std::int64_t first_row) const {
  const BlockInUse in_use(layer.block);
  const std::int64_t n = x.size(0);
  const std::int64_t rows = n - first_row;  // that are asked for
  const std::int64_t d = config_.head_dim();
  const std::int64_t kv = config_.kv_heads;
  const std::int64_t group = config_.heads / kv;  // query heads of one key head
  const at::Tensor normed = rms_norm(x, layer.norm1, config_.norm_epsilon);
  at::Tensor q;
  at::Tensor kv_rows;
  if (first_row == 0) {
    const at::Tensor qkv = at::linear(normed, layer.qkv_weight, layer.qkv_bias);  // (n, (heads + 2 kv) d)
    q = qkv.narrow(1, 0, config_.hidden);
    kv_rows = qkv.narrow(1, config_.hidden, 2 * kv * d);
  } else {
    q = at::linear(normed.narrow(0, first_row, rows), layer.qkv_weight.narrow(0, 0, config_.hidden),
                   layer.qkv_bias.narrow(0, 0, config_.hidden));
    kv_rows = at::linear(normed, layer.qkv_weight.narrow(0, config_.hidden, 2 * kv * d),
                         layer.qkv_bias.narrow(0, config_.hidden, 2 * kv * d));
  }
  const auto keys_values = kv_rows.unflatten(1, {2, kv, d}).unbind(1);  // 2 x (n, kv, d)
  const Rotation own{rotation.cos.narrow(0, first_row, rows), rotation.sin.narrow(0, first_row, rows)};
  q = rotate(q.unflatten(1, {config_.heads, d}), own);  // (rows, heads, d)
  const at::Tensor k = rotate(keys_values[0], rotation);
  // Heads that share a key are the inner heads of one batch entry, so that keys are not copied for each.
  const auto expand = [&](const at::Tensor& t) { return t.permute({1, 0, 2}).unsqueeze(1).expand({kv, group, n, d}); };
  const at::Tensor attended = at::scaled_dot_product_attention(
      q.view({rows, kv, group, d}).permute({1, 2, 0, 3}), expand(k), expand(keys_values[1]),
      mask.defined() ? std::optional(mask.narrow(0, first_row, rows)) : std::nullopt, /*dropout_p=*/0,
      /*is_causal=*/!mask.defined());  // (kv, group, rows, d)
  const at::Tensor out = x.narrow(0, first_row, rows) +
                         layer.out(attended.permute({2, 0, 1, 3}).reshape({rows, config_.hidden}));  // (rows, hidden)
  const auto gate_up = layer.gate_up(rms_norm(out, layer.norm2, config_.norm_epsilon)).chunk(2, -1);
  return out + layer.down(at::silu(gate_up[0]) * gate_up[1]);
}

at::Tensor TextEncoder::run(const at::Tensor& embeds, const Sequence& sequence, std::int64_t first_row,
                            const LayerHook& before_layer) const {
  const Rotation rotation = text_rotation(sequence.positions, config_, embeds.device());
  const at::Tensor mask = sequence.causal() && first_row == 0 ? at::Tensor() : sequence.mask(embeds.options());
  at::Tensor x = embeds;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (before_layer) before_layer(x);
    x = run_layer(layers_[i], x, rotation, mask, i + 1 == layers_.size() ? first_row : 0);
  }
  return rms_norm(x, norm_, config_.norm_epsilon);
}

at::Tensor TextEncoder::forward(const EncodedPrompt& prompt, const PictureTokens& picture,
                                const LayerHook& before_layer) const {
  Sequence sequence;
  sequence.append(prompt, text_positions(prompt, picture.grid, config_), config_, 0, std::ssize(prompt.ids));
  return run(embed(sequence, picture), sequence, 0, before_layer);
}

TextEncoding TextEncoder::encode(const EncodedPrompt& prompt, const PictureTokens& picture,
                                 const LayerHook& before_layer) const {
  const auto drop = static_cast<std::int64_t>(prompt.drop);
  const auto kept = static_cast<std::int64_t>(prompt.kept);
  Sequence sequence;
  sequence.append(prompt, text_positions(prompt, picture.grid, config_), config_, 0, drop + kept);
  const at::Tensor embeds = embed(sequence, picture);
  return {run(embeds, sequence, drop, before_layer), embeds.narrow(0, drop, kept)};
}

std::pair<TextEncoding, TextEncoding> TextEncoder::encode_pair(const EncodedPrompt& first, const EncodedPrompt& second,
                                                               const PictureTokens& picture,
                                                               const LayerHook& before_layer) const {
  const auto last = [](const EncodedPrompt& prompt) { return static_cast<std::int64_t>(prompt.drop + prompt.kept); };
  const TextPositions positions[] = {text_positions(first, picture.grid, config_),
                                     text_positions(second, picture.grid, config_)};
  const std::int64_t limit = std::min(last(first), last(second));
  std::int64_t shared = 0;
  const auto same = [&](std::size_t i) {
    return first.ids[i] == second.ids[i] && first.attended[i] == second.attended[i] &&
           std::ranges::all_of(std::array{0, 1, 2}, [&](auto axis) {
             return positions[0][static_cast<std::size_t>(axis)][i] == positions[1][static_cast<std::size_t>(axis)][i];
           });
  };
  while (shared < limit && same(static_cast<std::size_t>(shared))) ++shared;

  Sequence sequence;
  sequence.shared = shared;
  sequence.append(first, positions[0], config_, 0, last(first));
  sequence.append(second, positions[1], config_, shared, last(second));
  const at::Tensor embeds = embed(sequence, picture);
  const std::int64_t first_row = std::min(static_cast<std::int64_t>(std::min(first.drop, second.drop)), shared);
  const at::Tensor hidden = run(embeds, sequence, first_row, before_layer);

  // `start` is the first row of `rows` in the sequence.
  const auto take = [&](const at::Tensor& rows, std::int64_t start, const EncodedPrompt& prompt, bool is_second) {
    const auto drop = static_cast<std::int64_t>(prompt.drop);
    const std::int64_t end = last(prompt);
    if (!is_second) return rows.narrow(0, drop - start, end - drop);
    const std::int64_t own = std::max(drop, shared);             // first row that is not shared
    const std::int64_t at = last(first) + own - shared - start;  // where it is
    if (drop >= shared) return rows.narrow(0, at, end - own);
    return at::cat({rows.narrow(0, drop - start, shared - drop), rows.narrow(0, at, end - own)}, 0);
  };
  return {{take(hidden, first_row, first, false), take(embeds, 0, first, false)},
          {take(hidden, first_row, second, true), take(embeds, 0, second, true)}};
}

}  // namespace step1x
