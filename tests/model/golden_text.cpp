#include "golden_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "image/decoder.hpp"
#include "model/encoder_patches.hpp"
#include "support/temp_dir.hpp"
#include "support/tensors.hpp"

namespace step1x::test {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

PatchGrid grid_of(const SafetensorsFile& file, const std::string& name) {
  const std::vector<std::int64_t> grid = integers(file, name);
  if (grid.size() != 3 || grid[0] != 1) throw std::runtime_error(name + " is not the grid of one still picture");
  return {grid[1], grid[2]};
}

std::vector<std::int64_t> wide(const auto& values) {
  return {values.begin(), values.end()};
}

std::vector<std::int64_t> flat(const TextPositions& positions) {
  std::vector<std::int64_t> result;
  for (const auto& axis : positions) result.insert(result.end(), axis.begin(), axis.end());
  return result;
}

std::vector<std::int64_t> patch_ends(const VisionWindows& windows, std::int64_t merge_size) {
  std::vector<std::int64_t> ends{0};
  for (const std::int64_t length : windows.lengths) ends.push_back(ends.back() + length * merge_size * merge_size);
  return ends;
}

// The reference's own list may repeat a value where a window is empty; it removes these later.
std::vector<std::int64_t> without_repeats(std::vector<std::int64_t> values) {
  values.erase(std::ranges::unique(values).begin(), values.end());
  return values;
}

// Patches from the plan's order (windows of equal length side by side) into the reference's.
at::Tensor in_reference_order(const at::Tensor& hidden, const VisionTower::Plan& plan, PatchGrid grid,
                              const VisionConfig& config) {
  const std::int64_t patches = config.merge_size * config.merge_size;
  const std::vector<std::int64_t> place = inverse(plan.windows.order);
  std::vector<at::Tensor> rows;
  for (const std::int64_t token : vision_windows(grid, config).order) {
    rows.push_back(hidden.narrow(0, place[static_cast<std::size_t>(token)] * patches, patches));
  }
  return at::cat(rows, 0);
}

// A picture of the case and what the vision tower made of it.
struct Picture {
  at::Tensor pixels;
  PictureTokens tokens;
};

class QwenCase {
 public:
  QwenCase(const fs::path& folder, const json& about, const fs::path& weights)
      : file_(folder / "qwen.safetensors"),
        about_(about),
        layout_(text_encoder_layout(weights)),
        encoder_(load_text_encoder(layout_)),
        visual_(about["tolerance"]["visual_abs"].get<double>()),
        hidden_(about["tolerance"]["hidden_abs"].get<double>()) {}

  Comparisons run() {
    for (const json& prompt : about_["prompts"]) {
      const auto image = prompt["image"].get<std::string>();
      if (!pictures_.contains(image)) add_picture(image);
      add_prompt(prompt, pictures_.at(image));
    }
    return std::move(result_);
  }

 private:
  void add_picture(const std::string& name) {
    const json& text = about_["config"]["text"];
    const EncoderPictureConfig config = read_encoder_picture_config(layout_, text);
    const TensorInfo& info = file_.at(name + ".image");
    const std::vector<std::uint8_t> rgb = values<std::uint8_t>(file_, name + ".image");
    const RgbView view{static_cast<int>(info.shape.at(1)), static_cast<int>(info.shape.at(0)), rgb};
    const EncoderPatches patches = encoder_patches(view, config, LayoutKind::flat);
    const PatchGrid grid = grid_of(file_, name + ".image_grid_thw");
    const std::vector<std::int64_t> found{1, patches.grid.rows, patches.grid.columns};
    result_.push_back(compare(name + ".image_grid_thw", found, integers(file_, name + ".image_grid_thw")));
    const at::Tensor pixels = golden_tensor(file_, name + ".pixel_values");
    result_.push_back(
        compare(name + ".pixel_values", patches.pixels, pixels, about_["tolerance"]["pixel_values_abs"].get<double>()));

    const VisionConfig& vision = encoder_.config().vision;
    const VisionWindows windows = vision_windows(grid, vision);
    result_.push_back(compare(name + ".window_index", windows.order, integers(file_, name + ".window_index")));
    result_.push_back(compare(name + ".cu_window_seqlens", patch_ends(windows, vision.merge_size),
                              without_repeats(integers(file_, name + ".cu_window_seqlens"))));
    Picture picture{pixels, encoder_.encode_picture(pixels, grid)};
    result_.push_back(compare(name + ".visual", picture.tokens.rows, golden_tensor(file_, name + ".visual"), visual_));
    pictures_.emplace(name, std::move(picture));
  }

  void add_prompt(const json& about, const Picture& picture) {
    const auto name = about["name"].get<std::string>();
    const json& text = about_["config"]["text"];
    const std::vector<std::int64_t> ids = integers(file_, name + ".input_ids");
    const EncodedPrompt prompt =
        prompt_of(ids, text["drop_tokens"].get<std::size_t>(), text["max_length"].get<std::size_t>(), /*pad=*/true);
    result_.push_back(
        compare(name + ".attention_mask", wide(prompt.attended), integers(file_, name + ".attention_mask")));
    result_.push_back(compare(name + ".position_ids",
                              flat(text_positions(prompt, picture.tokens.grid, encoder_.config())),
                              integers(file_, name + ".position_ids")));
    std::vector<std::int64_t> mask(prompt.kept, 1);
    mask.resize(prompt.length);
    result_.push_back(compare(name + ".mask", mask, integers(file_, name + ".mask")));
    result_.push_back(compare(name + ".embs", padded(encoder_.encode(prompt, picture.tokens), prompt),
                              golden_tensor(file_, name + ".embs"), hidden_));
    if (file_.find(name + ".hidden") == nullptr) return;
    std::size_t index = 0;
    const at::Tensor hidden = encoder_.forward(prompt, picture.tokens, [&](const at::Tensor& input) {
      const std::string stored = fmt::format("{}.hidden_states.{}", name, index++);
      if (file_.find(stored) != nullptr) {
        result_.push_back(compare(stored, input, golden_tensor(file_, stored), hidden_));
      }
    });
    result_.push_back(compare(name + ".hidden", hidden, golden_tensor(file_, name + ".hidden"), hidden_));
    add_vision_steps(name, picture);
  }

  void add_vision_steps(const std::string& name, const Picture& picture) {
    const VisionTower& tower = encoder_.vision();
    const PatchGrid grid = picture.tokens.grid;
    const VisionTower::Plan plan = tower.plan(grid, golden_device());
    at::Tensor x = tower.embed(picture.pixels);
    result_.push_back(compare(name + ".patch_embed", x, golden_tensor(file_, name + ".patch_embed"), visual_));
    x = tower.sort(x, plan);
    for (std::int64_t i = 0; i < encoder_.config().vision.layers; ++i) {
      x = tower.layer(static_cast<std::size_t>(i), x, plan);
      const std::string stored = fmt::format("{}.vblock{}", name, i);
      result_.push_back(compare(stored, in_reference_order(x, plan, grid, encoder_.config().vision),
                                golden_tensor(file_, stored), visual_));
    }
  }

  SafetensorsFile file_;
  const json& about_;
  ModelLayout layout_;
  TextEncoder encoder_;
  double visual_;
  double hidden_;
  std::map<std::string, Picture> pictures_;
  Comparisons result_;
};

// The text encoder's part of a layout: a copy of the golden data may leave out the rest.
ModelLayout diffusers_text_layout(const fs::path& model) {
  ModelLayout layout = text_encoder_layout(model / "text_encoder");
  layout.kind = LayoutKind::diffusers;
  layout.processor_config = model / "processor/preprocessor_config.json";
  const json index = json::parse(read_file(model / "model_index.json"));
  layout.version = index["_class_name"] == "Step1XEditPipelineV1P2" ? ModelVersion::v1_2 : ModelVersion::v1_1;
  return layout;
}

}  // namespace

ModelLayout text_encoder_layout(const fs::path& folder) {
  ModelLayout layout;
  layout.folder = folder;
  layout.text_encoder = find_weights(folder, "model");
  layout.text_encoder_config = folder / "config.json";
  if (fs::exists(folder / "preprocessor_config.json")) layout.processor_config = folder / "preprocessor_config.json";
  return layout;
}

TextEncoder load_text_encoder(const ModelLayout& layout, at::ScalarType type) {
  const TextEncoderFiles files = open_text_encoder(layout);
  return {files.config, load_weights(files.checkpoint, files.table, type, {}, golden_device())};
}

EncodedPrompt prompt_of(const std::vector<std::int64_t>& ids, std::size_t drop, std::size_t length, bool pad) {
  EncodedPrompt prompt;
  for (const std::int64_t id : ids) {
    prompt.ids.push_back(static_cast<Tokenizer::Id>(id));
    prompt.attended.push_back(id > 0);
  }
  prompt.drop = drop;
  prompt.kept = std::min(ids.size() - drop, length);
  prompt.length = pad ? length : prompt.kept;
  return prompt;
}

at::Tensor padded(const TextEncoding& encoding, const EncodedPrompt& prompt) {
  const auto missing = static_cast<std::int64_t>(prompt.length) - encoding.hidden.size(0);
  return at::constant_pad_nd(encoding.hidden, {0, 0, 0, missing});
}

Comparisons check_qwen(const fs::path& folder, const json& about, const fs::path& weights) {
  const auto named = about["weights"].get<std::string>();
  return QwenCase(folder, about, weights.empty() ? folder / named.substr(0, named.find(' ')) : weights).run();
}

Comparisons check_diffusers_text(const fs::path& folder) {
  const ModelLayout layout = diffusers_text_layout(folder / "model");
  const SafetensorsFile file(folder / "pipeline.safetensors");
  const json about = json::parse(read_file(folder / "pipeline.json"));
  // The tolerances of these manifests are sentences.
  constexpr double kHidden = 1e-4;
  constexpr double kPixels = 0.03;
  const bool v1_2 = layout.version == ModelVersion::v1_2;
  const PromptConfig config = v1_2 ? diffusers_v1_2_prompt() : diffusers_v1_1_prompt();
  const TextEncoder encoder = load_text_encoder(layout);

  image::Decoder decoder = image::Decoder::from_file(folder / "ref-resized.png");
  std::vector<std::uint8_t> rgb(static_cast<std::size_t>(decoder.width()) * static_cast<std::size_t>(decoder.height()) *
                                3);
  const RgbView view{decoder.width(), decoder.height(), rgb};
  decoder.read(std::as_writable_bytes(std::span(rgb)));
  const EncoderPatches patches = encoder_patches(view, read_encoder_picture_config(layout, {}), layout.kind);
  Comparisons result;
  const auto stride = about["pixel_values.row_stride"].get<std::int64_t>();
  result.push_back(compare("pixel_values.rows", patches.pixels.slice(0, 0, std::nullopt, stride),
                           golden_tensor(file, "pixel_values.rows"), kPixels));
  result.push_back(
      {"pixel_values.mean",
       std::abs(patches.pixels.to(at::kDouble).mean().item<double>() - about["pixel_values.mean"].get<double>()),
       2e-3});
  const PictureTokens picture = encoder.encode_picture(patches.pixels, patches.grid);
  std::vector<EncodedPrompt> prompts;
  for (const std::string name : {"pos", "neg"}) {
    const std::vector<std::int64_t> grid{1, patches.grid.rows, patches.grid.columns};
    result.push_back(compare(name + ".image_grid_thw", grid, integers(file, name + ".image_grid_thw")));
    prompts.push_back(prompt_of(integers(file, name + ".input_ids"), config.drop_tokens, config.max_tokens, false));
    if (file.find(name + ".position_ids") != nullptr) {
      result.push_back(compare(name + ".position_ids",
                               flat(text_positions(prompts.back(), patches.grid, encoder.config())),
                               integers(file, name + ".position_ids")));
    }
  }
  const auto [first, second] = encoder.encode_pair(prompts[0], prompts[1], picture);
  result.push_back(compare("pos.hidden_last", encoder.forward(prompts[0], picture),
                           golden_tensor(file, "pos.hidden_last"), kHidden));
  result.push_back(compare("pos.embeds", first.hidden, golden_tensor(file, "pos.embeds"), kHidden));
  result.push_back(compare("neg.embeds", second.hidden, golden_tensor(file, "neg.embeds"), kHidden));
  if (v1_2) {
    result.push_back(compare("pos.text_embeds", first.embeds, golden_tensor(file, "pos.text_embeds"), kHidden));
  }
  return result;
}

}  // namespace step1x::test
