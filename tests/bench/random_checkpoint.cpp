// Writes a checkpoint of the released dimensions (v1.1, the flat layout, bf16) with random weights: 42 GB to load and
// compute with, where the real one is not at hand. What it makes of a picture is noise.
//
// Usage: bench_random_checkpoint FOLDER TOKENIZER.JSON [SHARE]
//
// SHARE, 0 to 1, keeps that part of the blocks of every model at full width; the VAE is always whole.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "model/text_encoder_weights.hpp"
#include "model/transformer_config.hpp"
#include "model/vae_config.hpp"
#include "weights/safetensors_head.hpp"

namespace step1x {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t kBlock = std::size_t{1} << 20;  // random values that are used over and over

std::uint16_t to_bf16(float value) {
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
}

// Values of the deviation that keeps activations as they are, in bf16.
class Values {
 public:
  const std::vector<std::uint16_t>& normal(double deviation) {
    std::vector<std::uint16_t>& block = blocks_[deviation];
    if (!block.empty()) return block;
    std::normal_distribution<float> random(0, static_cast<float>(deviation));
    for (std::size_t i = 0; i < kBlock; ++i) block.push_back(to_bf16(random(engine_)));
    return block;
  }

 private:
  std::mt19937 engine_{1};
  std::map<double, std::vector<std::uint16_t>> blocks_;
};

void write_tensor(std::ofstream& out, const NewTensor& tensor, Values& values) {
  std::size_t left = 1;
  for (const std::int64_t side : tensor.shape) left *= static_cast<std::size_t>(side);
  const bool vector = tensor.shape.size() == 1;
  const std::vector<std::uint16_t> same(vector ? left : 0, to_bf16(tensor.name.ends_with("bias") ? 0.0F : 1.0F));
  const auto inputs = static_cast<double>(left) / static_cast<double>(tensor.shape.front());
  const std::vector<std::uint16_t>& block = vector ? same : values.normal(1 / std::sqrt(inputs));
  while (left > 0) {
    const std::size_t count = std::min(left, block.size());
    out.write(reinterpret_cast<const char*>(block.data()), static_cast<std::streamsize>(count * sizeof(block[0])));
    left -= count;
  }
}

void write_checkpoint(const fs::path& path, const LoadTable& table, Values& values) {
  std::vector<NewTensor> tensors;
  for (const TensorPlan& plan : table) {
    for (const TensorPart& part : plan.parts) tensors.push_back({part.source, Dtype::bf16, part.source_shape});
  }
  std::ofstream out(path, std::ios::binary);
  out << safetensors_head(tensors);
  for (const NewTensor& tensor : tensors) write_tensor(out, tensor, values);
  out.close();
  if (!out) throw std::runtime_error(fmt::format("cannot write {}", path.string()));
  fmt::print("{}: {:.2f} GB\n", path.string(), static_cast<double>(fs::file_size(path)) / 1e9);
}

void write_json(const fs::path& path, const json& content) {
  std::ofstream(path) << content.dump(2) << '\n';
}

std::int64_t part_of(std::int64_t count, double share) {
  return std::max(std::int64_t{1}, std::lround(static_cast<double>(count) * share));
}

// config.json of Qwen2.5-VL-7B-Instruct, as far as it is read.
json text_encoder_json(double share) {
  const std::int64_t vision = part_of(32, share);
  return {{"model_type", "qwen2_5_vl"},
          {"hidden_act", "silu"},
          {"hidden_size", 3584},
          {"intermediate_size", 18944},
          {"num_attention_heads", 28},
          {"num_key_value_heads", 4},
          {"num_hidden_layers", part_of(28, share)},
          {"vocab_size", 152064},
          {"rms_norm_eps", 1e-6},
          {"rope_theta", 1e6},
          {"use_sliding_window", false},
          {"image_token_id", 151655},
          {"vision_start_token_id", 151652},
          {"rope_scaling", {{"type", "mrope"}, {"mrope_section", {16, 24, 24}}}},
          {"vision_config",
           {{"depth", vision},
            {"hidden_act", "silu"},
            {"hidden_size", 1280},
            {"intermediate_size", 3420},
            {"num_heads", 16},
            {"in_chans", 3},
            {"out_hidden_size", 3584},
            {"patch_size", 14},
            {"spatial_merge_size", 2},
            {"temporal_patch_size", 2},
            {"window_size", 112},
            {"fullatt_block_indexes", {vision - 1}}}}};
}

void run(const fs::path& folder, const fs::path& tokenizer, double share) {
  const fs::path text = folder / "Qwen2.5-VL-7B-Instruct";
  fs::create_directories(text);
  fs::copy_file(tokenizer, text / "tokenizer.json", fs::copy_options::overwrite_existing);
  write_json(text / "config.json", text_encoder_json(share));
  TransformerConfig config;
  config.depth = part_of(config.depth, share);
  config.single_depth = part_of(config.single_depth, share);
  write_json(folder / "config.json",
             {{"dit", {{"depth", config.depth}, {"depth_single_blocks", config.single_depth}}}});
  Values values;
  write_checkpoint(folder / "step1x-edit-v1p1-official.safetensors", transformer_table(config, LayoutKind::flat),
                   values);
  write_checkpoint(folder / "vae.safetensors", vae_table(VaeConfig(), LayoutKind::flat), values);
  write_checkpoint(text / "model.safetensors",
                   text_encoder_table(read_text_encoder_config(text / "config.json"), TextEncoderNames()), values);
}

}  // namespace

}  // namespace step1x

int main(int argc, char** argv) {
  const double share = argc == 4 ? std::atof(argv[3]) : 1;
  if (argc < 3 || argc > 4 || !(share >= 0 && share <= 1)) {
    fmt::print(stderr, "usage: bench_random_checkpoint FOLDER TOKENIZER.JSON [SHARE]\n");
    return 2;
  }
  try {
    step1x::run(argv[1], argv[2], share);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_random_checkpoint: {}\n", error.what());
    return 1;
  }
}
