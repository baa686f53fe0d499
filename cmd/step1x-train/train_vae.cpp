#include <ATen/ops/randn_like.h>

#include <span>
#include <vector>

#include "demo/edits.hpp"
#include "initial_vae.hpp"
#include "linear_encoder.hpp"
#include "loop.hpp"
#include "model/loading.hpp"
#include "part.hpp"
#include "training_pictures.hpp"
#include "trainings.hpp"

namespace step1x::train {

namespace {

constexpr std::int64_t kSide = 64;
constexpr std::int64_t kBeginPictures = 256;
// Of the latents: what the transformer makes is never exact.
constexpr double kNoise = 0.04;

// Half of all pictures are results of edits, which the decoder will have to draw.
at::Tensor edited(const at::Tensor& pieces, demo::Random& random) {
  std::vector<at::Tensor> all;
  for (const at::Tensor& piece : pieces.split(1)) {
    const demo::Edit edit =
        random.chance(0.5) ? demo::Edit::none : random.one_of(std::span<const demo::Edit>(demo::kEdits));
    all.push_back(demo::apply(edit, piece));
  }
  return at::cat(all) * 2 - 1;
}

bool is_decoder(const TensorPlan& plan) {
  return plan.name.starts_with("decoder.");
}

}  // namespace

void train_vae(const Options& options) {
  const Pictures pictures(options.photographs, options.drawings, options.seed);
  ModelLayout layout;
  layout.kind = LayoutKind::diffusers;
  layout.vae_config = options.model / "vae/config.json";
  const VaeConfig config = vae_config(layout);
  const LoadTable table = vae_table(config, layout.kind);
  demo::Random start(options.seed + 1);
  const Weights weights = random_weights(table, start);
  const auto begin = static_cast<std::size_t>(kBeginPictures);
  begin_vae(config, weights, edited(pictures.pieces(begin, kSide, kSide, start), start));
  const Vae vae(config, weights);
  const LinearEncoder encode(vae, edited(pictures.pieces(16, kSide, kSide, start), start));

  std::vector<at::Tensor> leaves;
  for (const TensorPlan& plan : table) {
    if (is_decoder(plan)) leaves.push_back(weights.at(plan.name, plan.shape));
  }
  const auto loss = [&](std::int64_t step) {
    demo::Random random = random_of_step(options, step);
    const at::Tensor truth =
        edited(pictures.pieces(static_cast<std::size_t>(options.batch), kSide, kSide, random), random);
    at::Tensor latents = encode(truth);
    latents = latents + at::randn_like(latents) * kNoise * random.uniform();
    const at::Tensor error = vae.decode(latents, at::kFloat) - truth;
    // Squares are what the ratio of signal to noise counts; the plain differences keep flat surfaces clean.
    return error.square().mean() + error.abs().mean() * 0.05;
  };
  const auto save = [&](const std::vector<at::Tensor>& means) {
    std::vector<at::Tensor> all;
    std::size_t next = 0;
    for (const TensorPlan& plan : table) {
      all.push_back(is_decoder(plan) ? means[next++] : weights.at(plan.name, plan.shape));
    }
    save_weights(options.model / "vae/diffusion_pytorch_model.safetensors", all, table);
  };
  save(leaves);
  train(leaves, {.state = options.state / "vae.state", .steps = options.steps, .rate = options.rate, .weight_decay = 0},
        loss, save);
}

}  // namespace step1x::train
