#include <fmt/format.h>

#include <cmath>

#include "golden_text.hpp"
#include "model/encoder_patches.hpp"
#include "support/tensors.hpp"

namespace step1x::test {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// cos or sin as the reference stores them: the half repeated.
at::Tensor doubled(const at::Tensor& half) {
  return at::cat({half, half}, -1).squeeze(1);
}

void add_table(Comparisons& result, const std::string& name, const at::Tensor& half, const SafetensorsFile& file,
               const std::string& stored, const at::Tensor& rows, const json& sums, const json& tolerance) {
  const at::Tensor table = doubled(half);
  result.push_back(
      compare(name, table.index({rows}), golden_tensor(file, stored), tolerance["cos_sin_abs"].get<double>()));
  const at::Tensor wide = table.to(at::kDouble);
  result.push_back(
      {name + " sum", std::abs(wide.sum().item<double>() - sums[0].get<double>()), tolerance["sum_abs"].get<double>()});
  result.push_back({name + " sum of squares", std::abs(wide.square().sum().item<double>() - sums[1].get<double>()),
                    tolerance["sumsq_abs"].get<double>()});
}

VisionConfig windows_config(const json& about) {
  VisionConfig config;
  config.layers = 0;
  config.heads = about["num_heads"];
  config.hidden = about["hidden_size"];
  config.patch_size = about["patch_size"];
  config.merge_size = about["spatial_merge_size"];
  config.window_size = about["window_size"];
  return config;
}

}  // namespace

Comparisons check_vision_windows(const fs::path& path, const json& about) {
  const SafetensorsFile file(path);
  const VisionConfig config = windows_config(about["config"]);
  Comparisons result;
  for (const json& each : about["grids"]) {
    const PatchGrid grid{each["grid"][1], each["grid"][2]};
    const std::string name = fmt::format("{}x{}.", grid.rows, grid.columns);
    const VisionWindows windows = vision_windows(grid, config);
    result.push_back(compare(name + "window_index", windows.order, integers(file, name + "window_index")));
    std::vector<std::int64_t> ends{0};
    for (const std::int64_t length : windows.lengths) {
      ends.push_back(ends.back() + length * config.merge_size * config.merge_size);
    }
    result.push_back(compare(name + "cu_window_seqlens", ends, integers(file, name + "cu_window_seqlens")));
    const std::vector<std::int64_t> whole{0, grid.patches()};
    result.push_back(compare(name + "cu_seqlens", whole, integers(file, name + "cu_seqlens")));
    if (!each.value("rotary", false)) continue;
    const PatchPositions positions = patch_positions(windows.order, grid, config.merge_size);
    std::vector<std::int64_t> pairs;
    for (std::size_t i = 0; i < positions.rows.size(); ++i) {
      pairs.insert(pairs.end(), {positions.rows[i], positions.columns[i]});
    }
    result.push_back(compare(name + "pos_hw", pairs, integers(file, name + "pos_hw")));
    const Rotation rotation = vision_rotation(positions, config, golden_device());
    const at::Tensor rows = golden_tensor(file, name + "rows").to(at::kLong);
    const json& tolerance = about["tolerance"];
    add_table(result, name + "cos", rotation.cos, file, name + "cos", rows, each["cos_sum_sumsq"], tolerance);
    add_table(result, name + "sin", rotation.sin, file, name + "sin", rows, each["sin_sum_sumsq"], tolerance);
  }
  return result;
}

Comparisons check_mrope(const fs::path& path, const json& about) {
  const SafetensorsFile file(path);
  const json& of = about["config"];
  TextEncoderConfig config;
  config.heads = 1;
  config.hidden = of["head_dim"];
  config.rope_theta = of["theta"];
  config.rope_sections = of["mrope_section"];
  config.image_token = of["image_token_id"];
  config.vision_start_token = of["vision_start_token_id"];
  config.vision.merge_size = of["spatial_merge_size"];
  const json& tolerance = about["tolerance"];
  Comparisons result;
  for (const json& each : about["prompts"]) {
    const std::string name = each["name"].get<std::string>() + ".";
    const std::vector<std::int64_t> grid = integers(file, name + "image_grid_thw");
    const EncodedPrompt prompt = prompt_of(integers(file, name + "input_ids"), 0, 1'000'000, false);
    result.push_back(compare(name + "attention_mask",
                             std::vector<std::int64_t>(prompt.attended.begin(), prompt.attended.end()),
                             integers(file, name + "attention_mask")));
    const TextPositions positions = text_positions(prompt, {grid.at(1), grid.at(2)}, config);
    std::vector<std::int64_t> all;
    for (const auto& axis : positions) all.insert(all.end(), axis.begin(), axis.end());
    result.push_back(compare(name + "position_ids", all, integers(file, name + "position_ids")));
    const Rotation rotation = text_rotation(positions, config, golden_device());
    const at::Tensor rows = golden_tensor(file, name + "rows").to(at::kLong);
    add_table(result, name + "cos", rotation.cos, file, name + "cos", rows, each["cos_sum_sumsq"], tolerance);
    add_table(result, name + "sin", rotation.sin, file, name + "sin", rows, each["sin_sum_sumsq"], tolerance);
    const at::Tensor turned =
        rotate(golden_tensor(file, name + "q").unsqueeze(1), {rotation.cos.index({rows}), rotation.sin.index({rows})});
    result.push_back(compare(name + "q_out", turned.squeeze(1), golden_tensor(file, name + "q_out"),
                             tolerance["q_out_abs"].get<double>()));
  }
  return result;
}

Comparisons check_prompt_ids(const fs::path& path, const json& about, const Tokenizer& tokenizer) {
  const SafetensorsFile file(path);
  const json& of = about["config"];
  PromptConfig prompt = native_prompt();
  prompt.drop_tokens = of["drop"];
  prompt.max_tokens = of["max_length"];
  PromptConfig labelled = diffusers_v1_1_prompt();
  labelled.drop_tokens = prompt.drop_tokens;
  labelled.max_tokens = prompt.max_tokens;
  EncoderPictureConfig picture;
  picture.min_pixels = of["min_pixels"];
  picture.max_pixels = of["max_pixels"];
  Comparisons result;
  for (const json& each : about["prompts"]) {
    const std::string name = std::to_string(each["index"].get<int>()) + ".";
    const std::vector<std::uint8_t> black(each["image_wh"][0].get<std::size_t>() *
                                          each["image_wh"][1].get<std::size_t>() * 3);
    const EncoderPicture resized = encoder_picture({each["image_wh"][0], each["image_wh"][1], black}, picture);
    const std::vector<std::int64_t> size{resized.size.width, resized.size.height};
    result.push_back(
        compare(name + "second_resize_wh", size, each["second_resize_wh"].get<std::vector<std::int64_t>>()));
    const std::vector<std::int64_t> grid{1, resized.grid_rows, resized.grid_columns};
    result.push_back(compare(name + "image_grid_thw", grid, integers(file, name + "image_grid_thw")));
    const auto tokens = static_cast<std::size_t>(resized.tokens);
    const auto text = each["prompt"].get<std::string>();
    const auto ids = [&](const PromptConfig& config) {
      const EncodedPrompt encoded = encode_prompt(tokenizer, config, text, tokens);
      return std::vector<std::int64_t>(encoded.ids.begin(), encoded.ids.end());
    };
    result.push_back(compare(name + "input_ids", ids(prompt), integers(file, name + "input_ids")));
    result.push_back(
        compare(name + "input_ids_add_vision_id", ids(labelled), integers(file, name + "input_ids_add_vision_id")));
    const std::vector<std::int64_t> kept{
        static_cast<std::int64_t>(encode_prompt(tokenizer, prompt, text, tokens).kept)};
    result.push_back(compare(name + "kept", kept, std::vector{each["kept"].get<std::int64_t>()}));
  }
  return result;
}

}  // namespace step1x::test
