#include "model/vae_config.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "nn/config_reader.hpp"

namespace step1x {

namespace {

// Latents are divided by it; those of the known VAEs have about a tenth to ten.
constexpr double kLeastScale = 1e-3;
constexpr double kMostScale = 1e3;

void read_native(VaeConfig& config, const ConfigReader& file) {
  ConfigReader vae = file.section("vae");
  std::int64_t width = 128;
  std::vector<std::int64_t> factors{1, 2, 4, 4};
  vae.read("in_channels", config.in_channels);
  vae.read("out_ch", config.out_channels);
  vae.read("ch", width);
  vae.read("ch_mult", factors);
  vae.read_count("num_res_blocks", config.blocks);
  vae.read("z_channels", config.latent_channels);
  vae.read("scale_factor", config.scale, kLeastScale, kMostScale);
  vae.read("shift_factor", config.shift, -kMostScale, kMostScale);
  vae.complete();
  config.channels.clear();
  for (const std::int64_t factor : factors) config.channels.push_back(width * factor);
}

// Blocks of attention, for example, have weights that would be missed nowhere.
void require_all(const ConfigReader& file, const std::string& key, const std::string& kind) {
  if (!file.has(key)) return;
  const nlohmann::json& kinds = file.content()[key];
  const bool good = kinds.is_array() && std::ranges::all_of(kinds, [&](const auto& each) { return each == kind; });
  if (!good) file.fail(key, "a list of " + kind);
}

void read_diffusers(VaeConfig& config, ConfigReader& file) {
  require_all(file, "down_block_types", "DownEncoderBlock2D");
  require_all(file, "up_block_types", "UpDecoderBlock2D");
  file.require("_class_name", "AutoencoderKL");
  file.require("act_fn", "silu");
  file.require("mid_block_add_attention", true);
  file.require("use_quant_conv", false);
  file.require("use_post_quant_conv", false);
  file.require("latents_mean", nullptr);
  file.require("latents_std", nullptr);
  file.read("in_channels", config.in_channels);
  file.read("out_channels", config.out_channels);
  file.read("latent_channels", config.latent_channels);
  file.read("block_out_channels", config.channels);
  file.read_count("layers_per_block", config.blocks);
  file.read("norm_num_groups", config.groups);
  file.read("scaling_factor", config.scale, kLeastScale, kMostScale);
  file.read("shift_factor", config.shift, -kMostScale, kMostScale);
  file.complete();
}

// Name here and name in the diffusers layout.
struct Name {
  std::string native;
  std::string other;
};

class VaeTableBuilder {
 public:
  explicit VaeTableBuilder(LayoutKind layout) : native_(layout == LayoutKind::flat) {}

  void convolution(const Name& name, std::int64_t in, std::int64_t out, std::int64_t kernel) {
    add(name, ".weight", {out, in, kernel, kernel});
    add(name, ".bias", {out});
  }

  void norm(const Name& name, std::int64_t channels) {
    add(name, ".weight", {channels});
    add(name, ".bias", {channels});
  }

  void resnet(const Name& name, std::int64_t in, std::int64_t out) {
    norm({name.native + ".norm1", name.other + ".norm1"}, in);
    convolution({name.native + ".conv1", name.other + ".conv1"}, in, out, 3);
    norm({name.native + ".norm2", name.other + ".norm2"}, out);
    convolution({name.native + ".conv2", name.other + ".conv2"}, out, out, 3);
    if (in != out) convolution({name.native + ".nin_shortcut", name.other + ".conv_shortcut"}, in, out, 1);
  }

  void middle(const std::string& half, std::int64_t channels) {
    const std::string native = half + ".mid.";
    const std::string other = half + ".mid_block.";
    resnet({native + "block_1", other + "resnets.0"}, channels, channels);
    norm({native + "attn_1.norm", other + "attentions.0.group_norm"}, channels);
    square({native + "attn_1.q", other + "attentions.0.to_q"}, channels);
    square({native + "attn_1.k", other + "attentions.0.to_k"}, channels);
    square({native + "attn_1.v", other + "attentions.0.to_v"}, channels);
    square({native + "attn_1.proj_out", other + "attentions.0.to_out.0"}, channels);
    resnet({native + "block_2", other + "resnets.1"}, channels, channels);
  }

  LoadTable take() { return std::move(table_); }

 private:
  void add(const Name& name, const char* end, std::vector<std::int64_t> shape) {
    table_.push_back(whole_tensor(name.native + end, std::move(shape), (native_ ? name.native : name.other) + end));
  }

  // A matrix that the native layout stores as a convolution of one pixel.
  void square(const Name& name, std::int64_t channels) {
    TensorPlan weight =
        whole_tensor(name.native + ".weight", {channels, channels}, (native_ ? name.native : name.other) + ".weight");
    if (native_) weight.parts.front().source_shape = {channels, channels, 1, 1};
    table_.push_back(std::move(weight));
    add(name, ".bias", {channels});
  }

  bool native_;
  LoadTable table_;
};

void add_encoder(VaeTableBuilder& table, const VaeConfig& config) {
  const std::int64_t levels = config.levels();
  table.convolution({"encoder.conv_in", "encoder.conv_in"}, config.in_channels, config.channels.front(), 3);
  std::int64_t in = config.channels.front();
  for (std::int64_t level = 0; level < levels; ++level) {
    const std::int64_t out = config.channels[static_cast<std::size_t>(level)];
    for (std::int64_t i = 0; i < config.blocks; ++i) {
      table.resnet({fmt::format("encoder.down.{}.block.{}", level, i),
                    fmt::format("encoder.down_blocks.{}.resnets.{}", level, i)},
                   in, out);
      in = out;
    }
    if (level + 1 < levels) {
      table.convolution({fmt::format("encoder.down.{}.downsample.conv", level),
                         fmt::format("encoder.down_blocks.{}.downsamplers.0.conv", level)},
                        in, in, 3);
    }
  }
  table.middle("encoder", in);
  table.norm({"encoder.norm_out", "encoder.conv_norm_out"}, in);
  table.convolution({"encoder.conv_out", "encoder.conv_out"}, in, 2 * config.latent_channels, 3);
}

void add_decoder(VaeTableBuilder& table, const VaeConfig& config) {
  const std::int64_t levels = config.levels();
  std::int64_t in = config.channels.back();
  table.convolution({"decoder.conv_in", "decoder.conv_in"}, config.latent_channels, in, 3);
  table.middle("decoder", in);
  for (std::int64_t level = levels - 1; level >= 0; --level) {
    const std::int64_t out = config.channels[static_cast<std::size_t>(level)];
    const std::int64_t other = levels - 1 - level;  // diffusers counts from the coarsest
    for (std::int64_t i = 0; i <= config.blocks; ++i) {
      table.resnet(
          {fmt::format("decoder.up.{}.block.{}", level, i), fmt::format("decoder.up_blocks.{}.resnets.{}", other, i)},
          in, out);
      in = out;
    }
    if (level > 0) {
      table.convolution({fmt::format("decoder.up.{}.upsample.conv", level),
                         fmt::format("decoder.up_blocks.{}.upsamplers.0.conv", other)},
                        in, in, 3);
    }
  }
  table.norm({"decoder.norm_out", "decoder.conv_norm_out"}, in);
  table.convolution({"decoder.conv_out", "decoder.conv_out"}, in, config.out_channels, 3);
}

}  // namespace

VaeConfig vae_config(const ModelLayout& layout) {
  VaeConfig config;
  const bool flat = layout.kind == LayoutKind::flat;
  const std::filesystem::path& path = flat ? layout.config : layout.vae_config;
  if (path.empty()) return config;
  ConfigReader file(path);
  if (flat) {
    read_native(config, file);
  } else {
    read_diffusers(config, file);
  }
  for (const std::int64_t channels : config.channels) {
    if (channels % config.groups == 0) continue;
    (flat ? file.section("vae") : file)
        .fail(flat ? "ch" : "block_out_channels", fmt::format("widths that {} groups divide", config.groups));
  }
  if (config.levels() > 8) {
    (flat ? file.section("vae") : file).fail(flat ? "ch_mult" : "block_out_channels", "at most 8 levels");
  }
  return config;
}

std::vector<BlockCount> block_counts(const VaeConfig& config, LayoutKind layout) {
  const bool flat = layout == LayoutKind::flat;
  const std::string levels = flat ? "encoder.down." : "encoder.down_blocks.";
  return {
      {flat ? "vae.ch_mult" : "block_out_channels", config.levels(), levels},
      {flat ? "vae.num_res_blocks" : "layers_per_block", config.blocks, levels + (flat ? "0.block." : "0.resnets.")}};
}

LoadTable vae_table(const VaeConfig& config, LayoutKind layout) {
  VaeTableBuilder table(layout);
  add_encoder(table, config);
  add_decoder(table, config);
  return table.take();
}

}  // namespace step1x
