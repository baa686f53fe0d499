#include <ATen/Context.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/randn_like.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "demo/edits.hpp"
#include "demo/phrases.hpp"
#include "linear_encoder.hpp"
#include "loop.hpp"
#include "model/encoder_patches.hpp"
#include "model/loading.hpp"
#include "model/packing.hpp"
#include "model/pictures.hpp"
#include "model/text_config.hpp"
#include "model/text_encoder_weights.hpp"
#include "model/text_input.hpp"
#include "part.hpp"
#include "training_pictures.hpp"
#include "trainings.hpp"

namespace step1x::train {

namespace {

// Sides of pieces in tokens. Small ones are cheap and teach colour; the largest is the size the model is used at.
struct Side {
  std::int64_t tokens;
  double share;
};
constexpr std::array kSides{Side{4, 0.45}, Side{8, 0.4}, Side{16, 0.15}};
// Pieces are put anywhere within as many tokens as this, so that all positions are learnt.
constexpr std::int64_t kPositions = 24;
constexpr std::int64_t kReadings = 12;  // of requests, a step
constexpr double kUnknown = 0.12;
constexpr double kNoPrompt = 0.05;

// The parts that are trained, and what they read besides weights.
class Model {
 public:
  explicit Model(const Options& options)
      : layout_(layout_of(options.model)),
        prompt_(prompt_config(layout_)),
        tokenizer_(layout_.tokenizer),
        picture_(read_encoder_picture_config(layout_, text_overrides(layout_))) {
    const TextEncoderConfig text = read_text_encoder_config(layout_.text_encoder_config);
    const TransformerConfig config = transformer_config(layout_);
    text_table_ = text_encoder_table(text, {});
    transformer_table_ = transformer_table(config, layout_.kind);
    demo::Random random(options.seed + 2);
    text_weights_.emplace(random_weights(text_table_, random));
    transformer_weights_.emplace(random_weights(transformer_table_, random));
    begin_quietly();
    text_encoder_.emplace(text, *text_weights_);
    parts_.emplace(
        TransformerParts{Connector(config, *transformer_weights_), Transformer(config, *transformer_weights_)});
  }

  std::vector<at::Tensor> leaves() const {
    std::vector<at::Tensor> all = tensors(*text_weights_, text_table_);
    for (at::Tensor& each : tensors(*transformer_weights_, transformer_table_)) all.push_back(std::move(each));
    return all;
  }

  void save(const std::vector<at::Tensor>& means) const {
    const auto border = means.begin() + static_cast<std::ptrdiff_t>(text_table_.size());
    save_weights(layout_.folder / "text_encoder/model.safetensors", {means.begin(), border}, text_table_);
    save_weights(layout_.folder / "transformer/diffusion_pytorch_model.safetensors", {border, means.end()},
                 transformer_table_);
  }

  // The rows of a prompt and which of them count: (length, in), (length).
  struct Text {
    at::Tensor states;
    at::Tensor kept;
  };
  // piece: (1, 3, h, w) in [0, 1]
  Text read(const std::string& prompt, const at::Tensor& piece) const {
    const Picture picture = picture_of(piece * 2 - 1, layout_.kind);
    const EncoderPatches patches = encoder_patches(picture.view(), picture_, layout_.kind);
    const EncodedPrompt encoded = encode_prompt(tokenizer_, prompt_, prompt, patches.tokens);
    const PictureTokens tokens = text_encoder_->encode_picture(patches.pixels, patches.grid);
    const at::Tensor hidden = text_encoder_->encode(encoded, tokens).hidden;
    const auto length = static_cast<std::int64_t>(encoded.length);
    const std::int64_t kept = hidden.size(0);
    return {at::constant_pad_nd(hidden, {0, 0, 0, length - kept}), at::arange(length, at::kLong).lt(kept)};
  }

  // What the transformer predicts of the first half of `img`, (batch, 2 * rows * columns, channels), at t: (batch).
  at::Tensor predict(const at::Tensor& img, const std::vector<Text>& texts, const at::Tensor& t,
                     const at::Tensor& ids) const {
    std::vector<at::Tensor> states;
    std::vector<at::Tensor> kept;
    for (const Text& text : texts) {
      states.push_back(text.states);
      kept.push_back(text.kept);
    }
    const ConnectorOutput text = parts_->connector.forward({at::stack(states), at::stack(kept), t, {}, {}});
    TransformerInput input;
    input.img = img;
    input.txt = text.tokens;
    input.sequence.rope = parts_->transformer.rope(at::cat({at::zeros({1, text.tokens.size(1), 3}), ids}, 1));
    input.modulations = parts_->transformer.modulate(parts_->transformer.condition(t, text.pooled));
    Transformer::Options options;
    options.targets = img.size(1) / 2;
    return parts_->transformer.forward(std::span(&input, 1), options).front();
  }

  const std::array<double, 3>& reference_offset() const { return parts_->transformer.config().reference_offset; }

 private:
  // Blocks begin as if they were not there.
  void begin_quietly() const {
    for (const auto& [name, tensor] : transformer_weights_->tensors()) {
      const bool modulation =
          name.find("_mod.lin") != std::string::npos || name.find("modulation") != std::string::npos;
      if (modulation || name == "final_layer.linear.weight") at::Tensor(tensor).zero_();
    }
  }

  ModelLayout layout_;
  PromptConfig prompt_;
  Tokenizer tokenizer_;
  EncoderPictureConfig picture_;
  LoadTable text_table_;
  LoadTable transformer_table_;
  std::optional<Weights> text_weights_;
  std::optional<Weights> transformer_weights_;
  std::optional<TextEncoder> text_encoder_;
  std::optional<TransformerParts> parts_;

  static ModelLayout layout_of(const std::filesystem::path& folder) {
    ModelLayout layout;
    layout.kind = LayoutKind::diffusers;
    layout.version = ModelVersion::v1_1;
    layout.folder = folder;
    layout.config = folder / "model_index.json";
    layout.transformer_config = folder / "transformer/config.json";
    layout.text_encoder_config = folder / "text_encoder/config.json";
    layout.tokenizer = folder / "processor/tokenizer.json";
    layout.processor_config = folder / "processor/preprocessor_config.json";
    return layout;
  }
};

// What one step asks for: an edit in some words.
struct Request {
  demo::Edit edit;
  std::string prompt;
};

Request request(demo::Random& random) {
  if (random.chance(kNoPrompt)) return {demo::Edit::none, ""};
  const std::span<const demo::Edit> known = std::span(demo::kEdits).subspan(1);
  const demo::Edit edit = random.chance(kUnknown) ? demo::Edit::none : random.one_of(known);
  return {edit, demo::phrase(edit, random)};
}

std::int64_t choose_side(demo::Random& random) {
  double chance = random.uniform();
  for (const Side& side : kSides) {
    if (chance < side.share) return side.tokens;
    chance -= side.share;
  }
  return kSides.front().tokens;
}

}  // namespace

void train_edits(const Options& options) {
  const Pictures pictures(options.photographs, options.drawings, options.seed);
  ModelLayout vae_files;
  vae_files.kind = LayoutKind::diffusers;
  vae_files.vae_config = options.model / "vae/config.json";
  vae_files.vae = find_weights(options.model / "vae", "diffusion_pytorch_model");
  const Vae vae = load_vae(vae_files, at::kFloat);
  demo::Random start(options.seed + 3);
  const LinearEncoder encode(vae, pictures.pieces(16, 64, 64, start) * 2 - 1);
  const std::int64_t token = vae.config().factor() * kTokenSide;
  const Model model(options);

  const auto loss = [&](std::int64_t step) {
    demo::Random random = random_of_step(options, step);
    const std::int64_t rows = choose_side(random);
    const std::int64_t columns = random.chance(0.3) ? choose_side(random) : rows;
    // About as much work in every step.
    const std::int64_t count = std::clamp(options.batch * 64 / (rows * columns), std::int64_t{4}, options.batch * 2);
    const at::Tensor pieces = pictures.pieces(static_cast<std::size_t>(count), rows * token, columns * token, random);
    // One reading of a request, with one of its pieces, serves several pieces: it is a third of the work.
    std::vector<Request> requests;
    std::vector<Model::Text> readings;
    for (std::int64_t i = 0; i < std::min(count, kReadings); ++i) {
      requests.push_back(request(random));
      readings.push_back(model.read(requests.back().prompt, pieces.narrow(0, i, 1)));
    }
    std::vector<at::Tensor> results;
    std::vector<Model::Text> texts;
    std::vector<float> times;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::size_t which = static_cast<std::size_t>(i) % requests.size();
      results.push_back(demo::apply(requests[which].edit, pieces.narrow(0, i, 1)));
      texts.push_back(readings[which]);
      // Few steps are made, the first of them with nothing but noise to go by.
      times.push_back(random.chance(0.15) ? 1 : static_cast<float>(1 / (1 + std::exp(-0.3 - 1.2 * random.normal()))));
    }
    const at::Tensor reference = pack(encode(pieces * 2 - 1));
    const at::Tensor clean = pack(encode(at::cat(results) * 2 - 1));
    const at::Tensor noise = at::randn_like(clean);
    const at::Tensor t = at::tensor(times, at::kFloat);
    const at::Tensor mixed = clean + (noise - clean) * t.view({-1, 1, 1});
    const auto place = [&](std::int64_t extent) {
      return static_cast<double>(random.below(static_cast<std::size_t>(kPositions - extent + 1)));
    };
    const std::array<double, 3> origin{0, place(rows), place(columns)};
    const std::array<double, 3>& apart = model.reference_offset();
    const at::TensorOptions plain = at::TensorOptions(at::kFloat);
    const at::Tensor ids =
        at::cat({image_ids(rows, columns, origin, plain),
                 image_ids(rows, columns, {origin[0] + apart[0], origin[1] + apart[1], origin[2] + apart[2]}, plain)},
                0)
            .unsqueeze(0);
    const at::Tensor velocity = model.predict(at::cat({mixed, reference}, 1), texts, t, ids);
    return at::mse_loss(velocity, noise - clean);
  };
  train(model.leaves(), {.state = options.state / "edits.state", .steps = options.steps, .rate = options.rate}, loss,
        [&](const std::vector<at::Tensor>& means) { model.save(means); });
}

}  // namespace step1x::train
