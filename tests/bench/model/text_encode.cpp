// How long one text encode takes: a picture, a prompt and a negative prompt. text_encode.py makes the model and the
// inputs, runs the same through transformers, and calls this program.
// Usage: bench_text_encode FOLDER INPUTS f32|bf16 THREADS wall|cpu  (then names on stdin, see bench.hpp)
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <string>
#include <vector>

#include "bench.hpp"
#include "model/text_encoder.hpp"
#include "model/text_encoder_weights.hpp"

namespace {

using namespace step1x;

EncodedPrompt prompt(const SafetensorsFile& file, std::string_view name, std::size_t drop) {
  const at::Tensor ids = bench::stored(file, name, at::kLong);
  EncodedPrompt result;
  result.ids.assign(ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + ids.numel());
  result.attended.assign(result.ids.size(), 1);
  result.drop = drop;
  result.kept = result.length = result.ids.size() - drop;
  return result;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 6) {
    fmt::print(stderr, "usage: bench_text_encode FOLDER INPUTS f32|bf16 THREADS wall|cpu\n");
    return 2;
  }
  const c10::InferenceMode inference;
  const bench::TensorMemory memory;
  const bench::Setting setting = bench::read_setting({argv + 3, 3});
  ModelLayout layout;
  layout.text_encoder = find_weights(argv[1], "model");
  layout.text_encoder_config = std::filesystem::path(argv[1]) / "config.json";
  const TextEncoderFiles files = open_text_encoder(layout);
  const TextEncoder encoder(files.config, load_weights(files.checkpoint, files.table, setting.type));

  const SafetensorsFile inputs(argv[2]);
  const at::Tensor pixels = bench::stored(inputs, "pixel_values", at::kFloat);
  const at::Tensor sides = bench::stored(inputs, "grid", at::kLong);
  const PatchGrid grid{sides[1].item<std::int64_t>(), sides[2].item<std::int64_t>()};
  const auto drop = static_cast<std::size_t>(bench::stored(inputs, "drop", at::kLong).item<std::int64_t>());
  const EncodedPrompt first = prompt(inputs, "prompt_ids", drop);
  const EncodedPrompt second = prompt(inputs, "negative_ids", drop);
  const auto picture = [&] { return encoder.encode_picture(pixels, grid); };

  const std::vector<bench::Measure> measures{
      {"fast", [&] { encoder.encode_pair(first, second, picture()); }},
      // As the references do it: each prompt with its own look at the picture, every row to the end.
      {"plain",
       [&] {
         encoder.forward(first, picture());
         encoder.forward(second, picture());
       }},
      {"picture", [&] { picture(); }}};
  const auto difference = [&](const at::Tensor& hidden, const char* name) {
    return bench::rms(hidden, bench::stored(inputs, name, at::kFloat));
  };
  const std::vector<bench::Figure> figures{{"fast_rms", [&] {
                                              const auto [a, b] = encoder.encode_pair(first, second, picture());
                                              return std::max(difference(a.hidden, "prompt_hidden"),
                                                              difference(b.hidden, "negative_hidden"));
                                            }}};
  bench::serve(setting, memory, measures, figures);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
