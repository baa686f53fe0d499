#include "model/text_encoder_config.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "weights/json_file.hpp"

namespace step1x {

namespace {

using nlohmann::json;

// Looks keys up in several objects of one file, the first that has a value wins.
class Reader {
 public:
  // `released_width`: the hidden_size of the released model. One of another width has to say all of its numbers: no
  // tensor's shape would tell that a missing one is not the released one.
  Reader(std::string file, std::vector<const json*> objects, std::string_view part, std::int64_t released_width = 0)
      : file_(std::move(file)), part_(part), objects_(std::move(objects)) {
    const json* width = find("hidden_size");
    released_ = width != nullptr && *width == released_width;
  }

  // A number that a dimension or a token can have.
  std::int64_t integer(const char* key, std::int64_t least = 1) const { return whole(key, need(key), least); }
  // The released model's number where there is none.
  std::int64_t integer_or(const char* key, std::int64_t otherwise) const {
    const json* value = find(key);
    return value == nullptr && released_ ? otherwise : integer(key);
  }

  double number_or(const char* key, double otherwise, double least, double most) const {
    if (find(key) == nullptr && released_) return otherwise;
    const json& value = need(key);
    // False for NaN.
    if (!value.is_number() || !(value.get<double>() >= least && value.get<double>() <= most)) {
      refuse(key, value, fmt::format("a number from {} to {}", least, most));
    }
    return value.get<double>();
  }

  std::vector<std::int64_t> integers(const char* key, std::int64_t least) const {
    const json& value = need(key);
    if (!value.is_array() || value.empty() || value.size() > 1000) refuse(key, value, "a list of numbers");
    std::vector<std::int64_t> result;
    for (const json& each : value) result.push_back(whole(key, each, least));
    return result;
  }

  const json& need(const char* key) const {
    if (const json* value = find(key)) return *value;
    throw Error::format(ErrorCode::model_missing, "{}: {}'{}' is missing", file_, part_, key);
  }

  const json* find(const char* key) const {
    for (const json* object : objects_) {
      const auto found = object->find(key);
      if (found != object->end() && !found->is_null()) return &*found;
    }
    return nullptr;
  }

  [[noreturn]] void refuse(const char* key, const json& value, std::string_view expected) const {
    throw Error::format(ErrorCode::model_missing, "{}: {}'{}' is {}, expected {}", file_, part_, key, brief(value),
                        expected);
  }

 private:
  std::int64_t whole(const char* key, const json& value, std::int64_t least) const {
    if (!value.is_number_integer() || value < least || value > INT32_MAX) {
      refuse(key, value, fmt::format("a whole number from {}", least));
    }
    return value.get<std::int64_t>();
  }

  std::string file_;
  std::string_view part_;
  std::vector<const json*> objects_;
  bool released_ = false;
};

void need_silu(const Reader& reader) {
  const json& activation = reader.need("hidden_act");
  if (activation != "silu") reader.refuse("hidden_act", activation, "\"silu\"");
}

void need_multiple(const Reader& reader, const char* key, std::int64_t value, std::int64_t of, std::string_view what) {
  if (value % of != 0) reader.refuse(key, reader.need(key), fmt::format("a multiple of {} ({})", of, what));
}

VisionConfig read_vision(const Reader& reader, std::int64_t text_hidden) {
  need_silu(reader);
  VisionConfig config;
  config.layers = reader.integer("depth");
  config.hidden = reader.integer("hidden_size");
  config.intermediate = reader.integer("intermediate_size");
  config.heads = reader.integer("num_heads");
  // Two names, by the version of transformers.
  config.channels = reader.integer_or(reader.find("in_chans") != nullptr ? "in_chans" : "in_channels", config.channels);
  config.patch_size = reader.integer_or("patch_size", config.patch_size);
  config.merge_size = reader.integer_or("spatial_merge_size", config.merge_size);
  config.temporal_patch_size = reader.integer_or("temporal_patch_size", config.temporal_patch_size);
  config.window_size = reader.integer_or("window_size", config.window_size);
  config.full_attention_layers = reader.integers("fullatt_block_indexes", 0);
  need_multiple(reader, "hidden_size", config.hidden, config.heads * 4, "num_heads * 4");
  if (config.channels != 3) reader.refuse("in_chans", config.channels, "3");
  if (config.patch_size > 1000 || config.merge_size > 1000 || config.temporal_patch_size > 1000) {
    reader.refuse("patch_size", config.patch_size, "no more than 1000, as of spatial_merge_size, temporal_patch_size");
  }
  if (std::ranges::any_of(config.full_attention_layers, [&](std::int64_t layer) { return layer >= config.layers; })) {
    reader.refuse("fullatt_block_indexes", reader.need("fullatt_block_indexes"),
                  fmt::format("layers from 0 to {}", config.layers - 1));
  }
  if (config.window_tokens() < 1) {
    reader.refuse("window_size", config.window_size,
                  fmt::format("at least {} (patch_size * spatial_merge_size)", config.patch_size * config.merge_size));
  }
  const std::int64_t out = reader.integer("out_hidden_size");
  if (out != text_hidden) {
    reader.refuse("out_hidden_size", out, fmt::format("{}, the text model's hidden_size", text_hidden));
  }
  return config;
}

}  // namespace

TextEncoderConfig read_text_encoder_config(const std::filesystem::path& path) {
  const json file = read_json_object(path);
  const auto object = [&](const char* key) -> const json* {
    const auto found = file.find(key);
    return found != file.end() && found->is_object() ? &*found : nullptr;
  };
  // Token ids may be null in the nested form and given at the top.
  std::vector<const json*> text{&file};
  if (const json* nested = object("text_config")) text.insert(text.begin(), nested);
  const Reader reader(path.string(), text, "", 3584);

  need_silu(reader);
  TextEncoderConfig config;
  config.layers = reader.integer("num_hidden_layers");
  config.hidden = reader.integer("hidden_size");
  config.intermediate = reader.integer("intermediate_size");
  config.heads = reader.integer("num_attention_heads");
  config.kv_heads = reader.integer("num_key_value_heads");
  config.vocabulary = reader.integer("vocab_size");
  config.norm_epsilon = reader.number_or("rms_norm_eps", config.norm_epsilon, 1e-12, 1);
  config.rope_theta = reader.number_or("rope_theta", config.rope_theta, 1, 1e12);
  config.image_token = reader.integer("image_token_id", 0);
  config.vision_start_token = reader.integer("vision_start_token_id", 0);
  need_multiple(reader, "hidden_size", config.hidden, config.heads * 2, "num_attention_heads * 2");
  need_multiple(reader, "num_attention_heads", config.heads, config.kv_heads, "num_key_value_heads");
  if (const json* sliding = reader.find("use_sliding_window"); sliding != nullptr && *sliding != false) {
    reader.refuse("use_sliding_window", *sliding, "false");
  }

  const json& scaling = reader.need("rope_scaling");
  if (!scaling.is_object()) reader.refuse("rope_scaling", scaling, "an object with mrope_section");
  const std::vector<std::int64_t> sections =
      Reader(path.string(), {&scaling}, "rope_scaling ").integers("mrope_section", 0);
  const std::int64_t half = config.head_dim() / 2;
  if (sections.size() != 3 || sections[0] + sections[1] + sections[2] != half) {
    reader.refuse("rope_scaling", scaling, fmt::format("three mrope_section numbers that add up to {}", half));
  }
  std::ranges::copy(sections, config.rope_sections.begin());
  // Two names of the same, by the version of transformers; the others stretch the angles.
  for (const char* key : {"type", "rope_type"}) {
    const auto kind = scaling.find(key);
    if (kind != scaling.end() && *kind != "default" && *kind != "mrope")
      reader.refuse("rope_scaling", scaling, fmt::format("one whose {} is default or mrope", key));
  }

  const json* vision = object("vision_config");
  if (vision == nullptr) {
    throw Error::format(ErrorCode::model_missing,
                        "{}: 'vision_config' is missing: a text model where a vision model belongs", path.string());
  }
  config.vision = read_vision(Reader(path.string(), {vision}, "vision_config ", 1280), config.hidden);
  return config;
}

}  // namespace step1x
