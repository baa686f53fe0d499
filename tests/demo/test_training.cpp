#include <stdexcept>

#include "base/error.hpp"
#include "demo/drawings.hpp"
#include "measures.hpp"
#include "model/transformer_config.hpp"
#include "model/vae.hpp"
#include "step1x-train/initial_vae.hpp"
#include "step1x-train/linear_encoder.hpp"
#include "step1x-train/loop.hpp"
#include "step1x-train/part.hpp"
#include "support/doctest_with_torch.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;
using namespace step1x::train;

namespace {

VaeConfig small_vae() {
  VaeConfig config;
  config.latent_channels = 12;
  config.channels = {16, 24, 48};
  config.blocks = 1;
  config.groups = 4;
  config.scale = 1;
  config.shift = 0;
  return config;
}

at::Tensor drawings(std::size_t count, std::uint64_t seed) {
  demo::Random random(seed);
  std::vector<at::Tensor> all;
  for (std::size_t i = 0; i < count; ++i) all.push_back(demo::drawing(random, 32));
  return at::stack(all) * 2 - 1;
}

// Follows noisy gradients to (1, 2); throws before step `stop`.
std::vector<at::Tensor> follow(const std::filesystem::path& state, std::int64_t stop) {
  const std::vector<at::Tensor> leaves{at::zeros({2})};
  const LoopOptions options{.state = state, .steps = 60, .rate = 0.1, .save_every = 7};
  std::vector<at::Tensor> result;
  const auto loss = [&](std::int64_t step) {
    if (step == stop) throw std::runtime_error("stopped");
    demo::Random random(static_cast<std::uint64_t>(step));
    const at::Tensor aim = at::tensor({1.0F, 2.0F}) + random.normal() * 0.1;
    return (leaves[0] - aim).square().sum();
  };
  try {
    train::train(leaves, options, loss, [&](const std::vector<at::Tensor>& means) { result = means; });
  } catch (const std::runtime_error&) {
    return {};
  }
  return {result.at(0).clone(), leaves[0].detach().clone()};
}

}  // namespace

TEST_CASE("a training that was stopped goes on as if it had not been") {
  const test::TempDir folder;
  const std::vector<at::Tensor> whole = follow(folder.path() / "whole", -1);
  REQUIRE(whole.size() == 2);
  CHECK(whole[1].min().item<double>() > 0.1);  // on its way
  CHECK(follow(folder.path() / "parts", 20).empty());
  CHECK(follow(folder.path() / "parts", 41).empty());
  const std::vector<at::Tensor> parts = follow(folder.path() / "parts", -1);
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].equal(whole[0]));
  CHECK(parts[1].equal(whole[1]));
}

TEST_CASE("the VAE begins with a projection that keeps most, and a decoder that keeps the colours") {
  const VaeConfig config = small_vae();
  demo::Random random(1);
  const Weights weights = random_weights(vae_table(config, LayoutKind::diffusers), random);
  const Vae untouched(config, weights);
  CHECK_THROWS_AS(LinearEncoder(untouched, drawings(4, 2)), Error);

  begin_vae(config, weights, drawings(64, 3));
  const Vae vae(config, weights);
  const at::Tensor x = drawings(16, 4);
  const LinearEncoder encode(vae, x);
  const at::Tensor latents = vae.latents(vae.moments(x, at::kFloat), {});
  CHECK((encode(x) - latents).square().mean().sqrt().item<double>() < 0.05);
  CHECK(latents.std().item<double>() == doctest::Approx(1).epsilon(0.25));
  const at::Tensor back = vae.decode(latents, at::kFloat);
  CHECK(test::mean_colour_error((x + 1) / 2, (back + 1) / 2) < 0.03);
  CHECK(test::psnr((x + 1) / 2, (back + 1) / 2) > 16);
}

TEST_CASE("a VAE without room for the projection is refused with what it needs") {
  VaeConfig config = small_vae();
  config.latent_channels = 16;
  demo::Random random(1);
  const Weights weights = random_weights(vae_table(config, LayoutKind::diffusers), random);
  CHECK_THROWS_WITH_AS(begin_vae(config, weights, drawings(4, 1)), doctest::Contains("at least 64 channels"), Error);
}

TEST_CASE("weights come back from their file as bf16 of what they were, also those that the layout cuts in pieces") {
  const test::TempDir folder;
  TransformerConfig config;
  config.hidden_size = 24;
  config.heads = 2;
  config.mlp_size = 96;
  config.depth = config.single_depth = 1;
  config.pooled_channels = 8;
  config.connector = {.in_channels = 8, .hidden_size = 16, .heads = 2, .depth = 1};
  const LoadTable table = transformer_table(config, LayoutKind::diffusers);
  demo::Random random(5);
  const Weights weights = random_weights(table, random);
  const auto path = folder.path() / "a/model.safetensors";
  save_weights(path, tensors(weights, table), table);
  const Weights read = load_weights(Checkpoint(path), table, at::kFloat);
  for (const auto& [name, tensor] : weights.tensors()) {
    CAPTURE(name);
    CHECK(read.at(name, tensor.sizes()).equal(tensor.to(at::kBFloat16).to(at::kFloat)));
  }
}
