#include "checks.hpp"
#include "model/loading.hpp"
#include "model/vae_parts.hpp"

namespace step1x::test {

Comparisons check_autoencoder(const std::filesystem::path& path, const nlohmann::json& about) {
  const SafetensorsFile file(path);
  ModelLayout layout;
  layout.vae = path.parent_path() / about.at("weights").get<std::string>();
  layout.config = layout.vae.parent_path() / "config.json";
  const Vae vae = load_vae(layout, at::kFloat, golden_device());
  const double absolute = about.at("tolerance").at("abs").get<double>();
  const double relative = about.at("tolerance").at("rel").get<double>();
  Comparisons result;
  const auto in = [&](const std::string& name) { return golden_tensor(file, name); };
  const auto add = [&](const std::string& name, const at::Tensor& found) {
    result.push_back(compare_relative(name, found, in(name), absolute, relative));
  };
  const at::Tensor moments = vae.moments(in("image"), at::kFloat);
  add("encoder_out", moments);
  add("z_mean", vae.latents(moments, {}));
  add("z_sampled", vae.latents(moments, in("noise")));
  add("decoded", vae.decode(in("z_sampled"), at::kFloat));
  add("decode2.out", vae.decode(in("decode2.z"), at::kFloat));

  const VaeEncoder& encoder = vae.parts().encoder;
  const auto& levels = encoder.levels();
  add("resnet.out", levels.at(0).blocks.at(0)(in("resnet.x"), at::kFloat));
  add("resnet_shortcut.out", levels.at(1).blocks.at(0)(in("resnet_shortcut.x"), at::kFloat));
  add("attn.out", encoder.middle().attention(in("attn.x"), at::kFloat, kMaxVaeScores));
  add("down.out", levels.at(0).down.value()(in("down.x"), at::kFloat));
  add("up.out", vae.parts().decoder.levels().at(1).up.value()(in("up.x"), at::kFloat));
  return result;
}

}  // namespace step1x::test
