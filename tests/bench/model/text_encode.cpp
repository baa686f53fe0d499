// How long one text encode takes: a picture, a prompt and a negative prompt. text_encode.py makes the model and the
// inputs, runs the same through transformers, and calls this program.
// Usage: bench_text_encode FOLDER INPUTS f32|bf16 THREADS RUNS wall|cpu
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <exception>
#include <string>
#include <vector>

#include "model/text_encoder.hpp"
#include "model/text_encoder_weights.hpp"

namespace {

using namespace step1x;

at::Tensor stored(const SafetensorsFile& file, std::string_view name, at::ScalarType type) {
  const TensorInfo& info = file.at(name);
  at::Tensor tensor = at::empty(info.shape, type);
  file.read(info, {static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes()});
  return tensor;
}

EncodedPrompt prompt(const SafetensorsFile& file, std::string_view name, std::size_t drop) {
  const at::Tensor ids = stored(file, name, at::kLong);
  EncodedPrompt result;
  result.ids.assign(ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + ids.numel());
  result.attended.assign(result.ids.size(), 1);
  result.drop = drop;
  result.kept = result.length = result.ids.size() - drop;
  return result;
}

double now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// The least of `runs`, after one that does not count.
double seconds(int runs, clockid_t clock, const auto& work) {
  double best = 1e9;
  for (int i = 0; i <= runs; ++i) {
    const double start = now(clock);
    work();
    if (i > 0) best = std::min(best, now(clock) - start);
  }
  return best;
}

double rms(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).square().mean().sqrt().item<double>();
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 7) {
    fmt::print(stderr, "usage: bench_text_encode FOLDER INPUTS f32|bf16 THREADS RUNS wall|cpu\n");
    return 2;
  }
  const c10::InferenceMode inference;
  at::set_num_threads(std::stoi(argv[4]));
  const int runs = std::stoi(argv[5]);
  const clockid_t clock = std::string(argv[6]) == "cpu" ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
  ModelLayout layout;
  layout.text_encoder = find_weights(argv[1], "model");
  layout.text_encoder_config = std::filesystem::path(argv[1]) / "config.json";
  const TextEncoderFiles files = open_text_encoder(layout);
  const at::ScalarType type = std::string(argv[3]) == "bf16" ? at::kBFloat16 : at::kFloat;
  const TextEncoder encoder(files.config, load_weights(files.checkpoint, files.table, type));

  const SafetensorsFile inputs(argv[2]);
  const at::Tensor pixels = stored(inputs, "pixel_values", at::kFloat);
  const at::Tensor sides = stored(inputs, "grid", at::kLong);
  const PatchGrid grid{sides[1].item<std::int64_t>(), sides[2].item<std::int64_t>()};
  const auto drop = static_cast<std::size_t>(stored(inputs, "drop", at::kLong).item<std::int64_t>());
  const EncodedPrompt first = prompt(inputs, "prompt_ids", drop);
  const EncodedPrompt second = prompt(inputs, "negative_ids", drop);

  const double picture = seconds(runs, clock, [&] { encoder.encode_picture(pixels, grid); });
  // As the references do it: each prompt with its own look at the picture, every row to the end.
  const double plain = seconds(runs, clock, [&] {
    encoder.forward(first, encoder.encode_picture(pixels, grid));
    encoder.forward(second, encoder.encode_picture(pixels, grid));
  });
  std::pair<TextEncoding, TextEncoding> encoded;
  const double shared =
      seconds(runs, clock, [&] { encoded = encoder.encode_pair(first, second, encoder.encode_picture(pixels, grid)); });
  fmt::print("picture {:.4f}\nplain {:.4f}\nshared {:.4f}\nrms {:.3e}\n", picture, plain, shared,
             std::max(rms(encoded.first.hidden, stored(inputs, "prompt_hidden", at::kFloat)),
                      rms(encoded.second.hidden, stored(inputs, "negative_hidden", at::kFloat))));
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
