// How long one text encode takes: a picture, a prompt and a negative prompt. text_encode.py makes the model and the
// inputs, runs the same through transformers, and calls this program.
// Usage: bench_text_encode FOLDER INPUTS f32|bf16 THREADS wall|cpu  (then names on stdin, see bench.hpp)
//        bench_text_encode --short                                  (random weights, small; both prompts at once
//                                                                    against each alone)
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "bench.hpp"
#include "model/text_encoder.hpp"
#include "model/text_encoder_weights.hpp"

namespace {

using namespace step1x;

EncodedPrompt prompt(const at::Tensor& ids, std::size_t drop) {
  EncodedPrompt result;
  result.ids.assign(ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + ids.numel());
  result.attended.assign(result.ids.size(), 1);
  result.drop = drop;
  result.kept = result.length = result.ids.size() - drop;
  return result;
}

using PictureMaker = std::function<PictureTokens()>;

std::vector<bench::Measure> measures(const TextEncoder& encoder, const EncodedPrompt& first,
                                     const EncodedPrompt& second, const PictureMaker& picture) {
  return {{"fast", [=, &encoder] { encoder.encode_pair(first, second, picture()); }},
          // As the references do it: each prompt with its own look at the picture, every row to the end.
          {"plain",
           [=, &encoder] {
             encoder.forward(first, picture());
             encoder.forward(second, picture());
           }},
          {"picture", [=] { picture(); }}};
}

int run_files(std::span<char*> arguments) {
  const bench::TensorMemory memory;
  const bench::Setting setting = bench::read_setting(arguments.subspan(3));
  ModelLayout layout;
  layout.text_encoder = find_weights(arguments[1], "model");
  layout.text_encoder_config = std::filesystem::path(arguments[1]) / "config.json";
  const TextEncoderFiles files = open_text_encoder(layout);
  const TextEncoder encoder(files.config, load_weights(files.checkpoint, files.table, setting.type));

  const SafetensorsFile inputs(arguments[2]);
  const at::Tensor pixels = bench::stored(inputs, "pixel_values", at::kFloat);
  const at::Tensor sides = bench::stored(inputs, "grid", at::kLong);
  const PatchGrid grid{sides[1].item<std::int64_t>(), sides[2].item<std::int64_t>()};
  const auto drop = static_cast<std::size_t>(bench::stored(inputs, "drop", at::kLong).item<std::int64_t>());
  const EncodedPrompt first = prompt(bench::stored(inputs, "prompt_ids", at::kLong), drop);
  const EncodedPrompt second = prompt(bench::stored(inputs, "negative_ids", at::kLong), drop);
  const PictureMaker picture = [&] { return encoder.encode_picture(pixels, grid); };

  const auto difference = [&](const at::Tensor& hidden, const char* name) {
    return bench::rms(hidden, bench::stored(inputs, name, at::kFloat));
  };
  const std::vector<bench::Figure> figures{{"fast_rms", [&] {
                                              const auto [a, b] = encoder.encode_pair(first, second, picture());
                                              return std::max(difference(a.hidden, "prompt_hidden"),
                                                              difference(b.hidden, "negative_hidden"));
                                            }}};
  bench::serve(setting, memory, measures(encoder, first, second, picture), figures);
  return 0;
}

TextEncoderConfig small_config() {
  TextEncoderConfig config;
  config.layers = 2;
  config.hidden = 64;
  config.intermediate = 128;
  config.heads = 4;
  config.kv_heads = 2;
  config.vocabulary = 64;
  config.rope_sections = {2, 3, 3};
  config.vision_start_token = 60;
  config.image_token = 61;
  config.vision.layers = 2;
  config.vision.hidden = 32;
  config.vision.intermediate = 64;
  config.vision.heads = 2;
  config.vision.full_attention_layers = {1};
  return config;
}

int run_small() {
  const bench::TensorMemory memory;
  const TextEncoderConfig config = small_config();
  const TextEncoder encoder(config, bench::random_weights(text_encoder_table(config, {}), at::kFloat));
  const PatchGrid grid{8, 8};
  const at::Tensor pixels = at::randn({grid.patches(), config.vision.patch_values()});
  const PictureMaker picture = [&] { return encoder.encode_picture(pixels, grid); };

  // What both begin with is longer than what is dropped, and the picture is within it.
  constexpr std::int64_t kDrop = 4;
  const auto with_end = [&](const std::vector<std::int64_t>& end) {
    std::vector<std::int64_t> ids{1, 2, 3, 4, config.vision_start_token};
    ids.insert(ids.end(), static_cast<std::size_t>(grid.patches() / 4), config.image_token);
    ids.insert(ids.end(), end.begin(), end.end());
    return prompt(at::tensor(ids, at::kLong), kDrop);
  };
  const EncodedPrompt first = with_end({10, 11, 12, 13, 14});
  const EncodedPrompt second = with_end({10, 20});
  const std::vector<bench::Figure> figures{
      {"rms of fast and plain", [&] {
         const auto [a, b] = encoder.encode_pair(first, second, picture());
         const auto difference = [&](const TextEncoding& fast, const EncodedPrompt& each) {
           return bench::rms(fast.hidden, encoder.forward(each, picture()).narrow(0, kDrop, fast.hidden.size(0)));
         };
         return std::max(difference(a, first), difference(b, second));
       }}};
  return bench::run_short({}, memory, measures(encoder, first, second, picture), figures, 1e-5);
}

}  // namespace

int main(int argc, char** argv) try {
  const c10::InferenceMode inference;
  if (argc == 2 && std::string(argv[1]) == "--short") return run_small();
  if (argc == 6) return run_files({argv, 6});
  fmt::print(stderr, "usage: bench_text_encode FOLDER INPUTS f32|bf16 THREADS wall|cpu, or --short\n");
  return 2;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
