#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.hpp"
#include "model/guidance.hpp"
#include "model/loading.hpp"
#include "model/scheduler.hpp"
#include "support/doctest_with_torch.hpp"
#include "support/golden.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;
using nlohmann::json;
using step1x::test::kGolden;
using step1x::test::read_file;
using step1x::test::TempDir;

namespace {

namespace fs = std::filesystem;

void write(const fs::path& path, const json& content) {
  std::ofstream(path) << content.dump();
}

json read(const fs::path& path) {
  return json::parse(read_file(path));
}

// The golden models, with a configuration of the test's own.
struct Models {
  TempDir dir;
  ModelLayout flat = find_layout(kGolden / "bundle", {ModelVersion::v1_1, {}});
  ModelLayout diffusers = find_layout(kGolden / "diffusers-v1.1/model");

  void change(const char* section, const char* key, const json& value) {
    json content = read(kGolden / "bundle/config.json");
    content[section][key] = value;
    flat.config = dir.path() / "config.json";
    write(flat.config, content);
  }
  void change(fs::path& config, const char* key, const json& value) {
    json content = read(config);
    content[key] = value;
    config = dir.path() / "changed.json";
    write(config, content);
  }
};

}  // namespace

TEST_CASE("without a config.json the dimensions are the released ones") {
  ModelLayout layout;
  layout.version = ModelVersion::v1_0;
  const TransformerConfig config = transformer_config(layout);
  CHECK(config.hidden_size == 3072);
  CHECK(config.depth == 19);
  CHECK(config.single_depth == 38);
  CHECK(config.connector.scaled_mean);
  CHECK(vae_config(layout).factor() == 8);
  // 1196 tensors in the diffusers layout, as golden/diffusers-v1.1/keymap.json counts them.
  std::size_t parts = 0;
  layout.version = ModelVersion::v1_1;
  for (const TensorPlan& plan : transformer_table(transformer_config(layout), LayoutKind::diffusers)) {
    parts += plan.name.starts_with("final_layer.adaLN") ? 1 : plan.parts.size();
  }
  CHECK(parts == 1196);
}

TEST_CASE("a wrong value in config.json is named with its file, key, and what was expected") {
  Models models;
  models.change("dit", "hidden_size", "48");
  CHECK_THROWS_WITH_AS(transformer_config(models.flat),
                       doctest::Contains("config.json: 'dit.hidden_size' is \"48\", expected a whole number"), Error);
  models.change("dit", "axes_dim", {4, 6, 8});
  CHECK_THROWS_WITH_AS(transformer_config(models.flat), doctest::Contains("'dit.axes_dim' is [4,6,8], expected three"),
                       Error);
  models.change("dit", "num_heads", 5);
  CHECK_THROWS_WITH_AS(transformer_config(models.flat), doctest::Contains("a divisor of the width 48"), Error);
  models.change("connector", "heads_num", 5);
  CHECK_THROWS_WITH_AS(transformer_config(models.flat), doctest::Contains("'connector.heads_num' is 5"), Error);
  models.change("dit", "context_in_dim", 65);
  CHECK_THROWS_WITH_AS(transformer_config(models.flat), doctest::Contains("connector.hidden_size, 64"), Error);
  models.change("vae", "ch", 33);
  CHECK_THROWS_WITH_AS(vae_config(models.flat), doctest::Contains("'vae.ch' is 33, expected widths that 32"), Error);
  models.change("dit", "depth", 0);
  CHECK_THROWS_WITH_AS(transformer_config(models.flat), doctest::Contains("'dit.depth' is 0"), Error);
}

TEST_CASE("what the diffusers configurations ask for and is not known here is refused") {
  Models models;
  models.change(models.diffusers.transformer_config, "guidance_embeds", true);
  CHECK_THROWS_WITH_AS(transformer_config(models.diffusers),
                       doctest::Contains("'guidance_embeds' is true, expected false"), Error);
  models.change(models.diffusers.vae_config, "mid_block_add_attention", false);
  CHECK_THROWS_WITH_AS(vae_config(models.diffusers), doctest::Contains("'mid_block_add_attention' is false"), Error);
  models.change(models.diffusers.vae_config, "mid_block_add_attention", true);
  models.change(models.diffusers.vae_config, "up_block_types", {"UpDecoderBlock2D", "AttnUpDecoderBlock2D"});
  CHECK_THROWS_WITH_AS(vae_config(models.diffusers), doctest::Contains("'up_block_types' is"), Error);
  models.change(models.diffusers.vae_config, "up_block_types", {"UpDecoderBlock2D"});
  models.change(models.diffusers.vae_config, "down_block_types", "x");
  CHECK_THROWS_WITH_AS(vae_config(models.diffusers), doctest::Contains("a list of DownEncoderBlock2D"), Error);
  models.change(models.diffusers.scheduler_config, "use_karras_sigmas", true);
  CHECK_THROWS_WITH_AS(scheduler_config(models.diffusers), doctest::Contains("'use_karras_sigmas' is true"), Error);
}

TEST_CASE("a scheduler without dynamic shifting uses its constant shift") {
  Models models;
  models.change(models.diffusers.scheduler_config, "use_dynamic_shifting", false);
  const SchedulerConfig config = scheduler_config(models.diffusers);
  const std::vector<double> times = schedule(config, 2, 100);
  CHECK(times.at(1) == doctest::Approx(3.0 * 0.5 / (1 + 2.0 * 0.5)));
}

TEST_CASE("tensors that do not fit the dimensions are named before anything is read") {
  Models models;
  models.change("dit", "depth", 3);
  CHECK_THROWS_WITH_AS(load_transformer(models.flat, at::kFloat),
                       doctest::Contains("config.json: 'dit.depth' makes it 3 blocks double_blocks.N, and"), Error);
  models.change("dit", "in_channels", 32);
  CHECK_THROWS_WITH_AS(load_transformer(models.flat, at::kFloat), doctest::Contains("'img_in.weight'"), Error);
  models.change(models.diffusers.transformer_config, "num_single_layers", 4);
  CHECK_THROWS_WITH_AS(load_transformer(models.diffusers, at::kFloat),
                       doctest::Contains("'num_single_layers' makes it 4 blocks single_transformer_blocks.N"), Error);
}

TEST_CASE("a configuration with fewer blocks than there are is refused, where it would have left them out") {
  Models models;
  models.change("dit", "depth_single_blocks", 2);
  CHECK_THROWS_WITH_AS(open_transformer(models.flat), doctest::Contains("'dit.depth_single_blocks' makes it 2"), Error);
  models.change("connector", "depth", 1);
  CHECK_THROWS_WITH_AS(open_transformer(models.flat), doctest::Contains("'connector.depth' makes it 1"), Error);
  models.change("vae", "num_res_blocks", 1);
  CHECK_THROWS_WITH_AS(open_vae(models.flat), doctest::Contains("'vae.num_res_blocks' makes it 1"), Error);
  models.change("vae", "ch_mult", {1, 2, 1});
  CHECK_THROWS_WITH_AS(open_vae(models.flat), doctest::Contains("'vae.ch_mult' makes it 3"), Error);
}

TEST_CASE("a transformer of another version is refused") {
  ModelLayout layout = find_layout(kGolden / "bundle", {ModelVersion::v1_0, {}});
  layout.transformer = kGolden / "bundle/step1x-edit-v1p1-official.safetensors";
  CHECK_THROWS_WITH_AS(load_transformer(layout, at::kFloat), doctest::Contains("wrong version"), Error);
}

TEST_CASE("a missing tensor of loaded weights is named with its shape") {
  const Weights weights({{"a", at::zeros({2, 3})}}, "file");
  CHECK(weights.find("b") == nullptr);
  CHECK_THROWS_WITH_AS(weights.at("b", {4}), "file: tensor 'b' is missing; expected shape [4]", Error);
  CHECK_THROWS_WITH_AS(weights.at("a", {3, 2}), "file: tensor 'a' has the wrong shape: expected [3, 2], found [2, 3]",
                       Error);
}

TEST_CASE("guidance damping has three names, and each layout its own default") {
  for (const GuidanceDamping each : {GuidanceDamping::all, GuidanceDamping::early, GuidanceDamping::off}) {
    CHECK(guidance_damping(name(each)) == each);
  }
  CHECK_FALSE(guidance_damping("sometimes"));
  CHECK(default_damping(LayoutKind::flat) == GuidanceDamping::early);
  CHECK(default_damping(LayoutKind::diffusers) == GuidanceDamping::all);
  CHECK(is_damped(GuidanceDamping::early, 0.9301));
  CHECK_FALSE(is_damped(GuidanceDamping::early, 0.93));
  CHECK(is_damped(GuidanceDamping::all, 0.1));
  CHECK_FALSE(is_damped(GuidanceDamping::off, 1));
}
