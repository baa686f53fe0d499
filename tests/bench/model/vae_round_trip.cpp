// How long the VAE takes to encode a picture and to decode the latents. vae_round_trip.py makes the model and the
// inputs, runs diffusers' AutoencoderKL beside it, and calls this program.
// Usage: bench_vae_round_trip FOLDER INPUTS f32|bf16 THREADS wall|cpu  (then names on stdin, see bench.hpp)
//        bench_vae_round_trip --short                                  (random weights, small; tiled against whole)
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include "bench.hpp"
#include "model/loading.hpp"

namespace {

using namespace step1x;

std::vector<bench::Measure> measures(const Vae& vae, const at::Tensor& picture, const at::Tensor& latents,
                                     at::ScalarType type, const VaeTiling& tiling) {
  return {{"encode", [=, &vae] { vae.moments(picture, type); }},
          {"decode", [=, &vae] { vae.decode(latents, type); }},
          {"tiled", [=, &vae] { vae.decode(latents, type, tiling); }}};
}

int run_files(std::span<char*> arguments) {
  const bench::TensorMemory memory;
  const bench::Setting setting = bench::read_setting(arguments.subspan(3));
  ModelLayout layout;
  layout.kind = LayoutKind::diffusers;
  layout.vae = find_weights(arguments[1], "diffusion_pytorch_model");
  layout.vae_config = std::filesystem::path(arguments[1]) / "config.json";
  const Vae vae = load_vae(layout, setting.type);

  const SafetensorsFile file(arguments[2]);
  const auto tensor = [&](const char* name) { return bench::stored(file, name, at::kFloat); };
  const at::Tensor picture = tensor("picture");
  const at::Tensor latents = tensor("latents");
  const std::vector<bench::Figure> figures{
      {"encode_rms", [&] { return bench::rms(vae.moments(picture, setting.type), tensor("moments")); }},
      {"decode_rms", [&] { return bench::rms(vae.decode(latents, setting.type), tensor("decoded")); }}};
  bench::serve(setting, memory, measures(vae, picture, latents, setting.type, {}), figures);
  return 0;
}

int run_small() {
  const bench::TensorMemory memory;
  VaeConfig config;
  config.channels = {32, 32, 64, 64};
  config.blocks = 1;
  const Vae vae(config, bench::random_weights(vae_table(config, LayoutKind::flat), at::kFloat));
  const at::Tensor picture = at::randn({1, 3, 64, 64});
  const at::Tensor latents = at::randn({1, config.latent_channels, 8, 8});
  // A tile as large as the picture, so that both must agree.
  const std::vector<bench::Figure> figures{
      {"rms of tiled and whole",
       [&] { return bench::rms(vae.decode(latents, at::kFloat, VaeTiling{8, 2}), vae.decode(latents, at::kFloat)); }}};
  return bench::run_short({}, memory, measures(vae, picture, latents, at::kFloat, {4, 2}), figures, 1e-5);
}

}  // namespace

int main(int argc, char** argv) try {
  const c10::InferenceMode inference;
  if (argc == 2 && std::string(argv[1]) == "--short") return run_small();
  if (argc == 6) return run_files({argv, 6});
  fmt::print(stderr, "usage: bench_vae_round_trip FOLDER INPUTS f32|bf16 THREADS wall|cpu, or --short\n");
  return 2;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
