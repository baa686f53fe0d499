#include <map>

#include "golden_text.hpp"
#include "support/temp_dir.hpp"
#include "support/tensors.hpp"
// clang-format off: after libtorch
#include "support/golden.hpp"
#include "support/doctest_with_torch.hpp"
// clang-format on

using namespace step1x;
using namespace step1x::test;
using nlohmann::json;
using step1x::test::kGolden;

namespace {

constexpr std::size_t kDrop = 362;
constexpr std::size_t kLength = 64;

const SafetensorsFile& golden() {
  static const SafetensorsFile file(kGolden / "qwen.safetensors");
  return file;
}

json prompts() {
  return json::parse(read_file(kGolden / "manifest.json"))["cases"]["qwen.safetensors"]["prompts"];
}

const TextEncoder& encoder() {
  static const TextEncoder result = load_text_encoder(text_encoder_layout(kGolden / "qwen-sharded"));
  return result;
}

EncodedPrompt prompt(const std::string& name) {
  return prompt_of(integers(golden(), name + ".input_ids"), kDrop, kLength, true);
}

PictureTokens picture(const std::string& name, const TextEncoder& with = encoder()) {
  const auto grid = integers(golden(), name + ".image_grid_thw");
  return with.encode_picture(golden_tensor(golden(), name + ".pixel_values"), {grid.at(1), grid.at(2)});
}

double worst(const at::Tensor& a, const at::Tensor& b) {
  return compare("", a, b, 0).error;
}

double rms(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).square().mean().sqrt().item<double>();
}

}  // namespace

TEST_CASE("two prompts at once have the values that each has alone") {
  const json all = prompts();
  std::map<std::string, std::vector<std::string>> by_image;
  for (const json& each : all) by_image[each["image"].get<std::string>()].push_back(each["name"].get<std::string>());
  int pairs = 0;
  for (const auto& [image, names] : by_image) {
    const PictureTokens tokens = picture(image);
    for (const std::string& one : names) {
      for (const std::string& two : names) {  // also with itself: then nothing is left after what is shared
        CAPTURE(one);
        CAPTURE(two);
        const auto [first, second] = encoder().encode_pair(prompt(one), prompt(two), tokens);
        for (const auto& [encoding, name] : {std::pair(first, one), std::pair(second, two)}) {
          const TextEncoding alone = encoder().encode(prompt(name), tokens);
          CHECK(worst(encoding.hidden, alone.hidden) < 1e-5);
          CHECK(worst(encoding.embeds, alone.embeds) == 0);
          CHECK(worst(padded(encoding, prompt(name)), golden_tensor(golden(), name + ".embs")) < 1e-4);
        }
        ++pairs;
      }
    }
  }
  CHECK(pairs == 27);
}

TEST_CASE("two prompts that begin with different tokens share nothing and keep their values") {
  const PictureTokens tokens = picture("image0");
  EncodedPrompt other = prompt("bang");
  other.ids[0] += 1;
  for (const std::size_t drop : {std::size_t{0}, kDrop}) {
    CAPTURE(drop);
    EncodedPrompt one = prompt("plain");
    EncodedPrompt two = other;
    one.drop = two.drop = drop;
    one.kept = one.ids.size() - drop;
    two.kept = two.ids.size() - drop;
    const auto [first, second] = encoder().encode_pair(one, two, tokens);
    CHECK(worst(first.hidden, encoder().encode(one, tokens).hidden) < 1e-5);
    CHECK(worst(second.hidden, encoder().encode(two, tokens).hidden) < 1e-5);
    CHECK(worst(second.hidden, encoder().encode(prompt("bang"), tokens).hidden) > 1e-3);
  }
}

TEST_CASE("a prompt with a masked token among the shared ones keeps its value") {
  const PictureTokens tokens = picture("image0");
  EncodedPrompt one = prompt("bang");
  EncodedPrompt two = one;
  const std::size_t changed = 384;
  REQUIRE(one.attended.at(375) == 0);
  two.ids.at(changed) += 1;
  const auto [first, second] = encoder().encode_pair(one, two, tokens);
  CHECK(worst(first.hidden, encoder().encode(one, tokens).hidden) < 1e-5);
  CHECK(worst(second.hidden, encoder().encode(two, tokens).hidden) < 1e-5);
  // Causal: what stands before the change does not see it.
  CHECK(worst(first.hidden.narrow(0, 0, changed - kDrop), second.hidden.narrow(0, 0, changed - kDrop)) == 0);
  CHECK(worst(first.hidden.narrow(0, changed - kDrop, 1), second.hidden.narrow(0, changed - kDrop, 1)) > 1e-3);
}

TEST_CASE("the rows that are used do not depend on tokens after them or on rows that are dropped") {
  const PictureTokens tokens = picture("image2");
  const EncodedPrompt cut = prompt("long");
  REQUIRE(cut.drop + cut.kept < cut.ids.size());
  const at::Tensor all = encoder().forward(cut, tokens);
  const at::Tensor used = encoder().encode(cut, tokens).hidden;
  CHECK(used.size(0) == static_cast<std::int64_t>(cut.kept));
  CHECK(worst(used, all.narrow(0, kDrop, used.size(0))) < 1e-5);
}

TEST_CASE("a prompt of nothing but masked tokens gives numbers") {
  EncodedPrompt nothing = prompt_of({0, 0, 0}, 0, 8, true);
  const PictureTokens none{at::empty({0, encoder().config().hidden}, at::kFloat), {0, 0}};
  const at::Tensor hidden = encoder().forward(nothing, none);
  CHECK(hidden.size(0) == 3);
  CHECK(hidden.isfinite().all().item<bool>());
}

TEST_CASE("an edit that is cancelled stops before the next layer") {
  struct Cancelled {};
  const PictureTokens tokens = picture("image0");
  int layers = 0;
  const auto stop_at_second = [&](const at::Tensor&) {
    if (++layers == 2) throw Cancelled();
  };
  CHECK_THROWS_AS(encoder().encode(prompt("plain"), tokens, stop_at_second), Cancelled);
  layers = 0;
  CHECK_THROWS_AS(encoder().encode_picture(at::zeros({4, 1176}, at::kFloat), {2, 2}, stop_at_second), Cancelled);
}

TEST_CASE("in bf16 the error is not above one and a half times that of the reference in bf16") {
  const TextEncoder half = load_text_encoder(text_encoder_layout(kGolden / "qwen-sharded"), at::kBFloat16);
  // rms of transformers 4.55 in bf16 against itself in float32, on the same weights and inputs; rows from `drop` on.
  struct Figure {
    const char* name;
    const char* image;
    double hidden;
    double visual;
  };
  constexpr Figure kReference[] = {
      {"plain", "image0", 0.00778, 0.00543},   {"empty", "image1", 0.00849, 0.00492},
      {"single", "image2", 0.00820, 0.00452},  {"double", "image0", 0.00732, 0.00543},
      {"curly", "image1", 0.00719, 0.00492},   {"bang", "image0", 0.00748, 0.00543},
      {"chinese", "image1", 0.00697, 0.00492},
  };
  for (const Figure& each : kReference) {
    const std::string name = each.name;
    CAPTURE(name);
    const PictureTokens exact = picture(each.image);
    const PictureTokens rounded = picture(each.image, half);
    CHECK((rounded.rows.scalar_type() == at::kBFloat16));
    CHECK(rms(rounded.rows, exact.rows) <= 1.5 * each.visual);
    const at::Tensor hidden = half.encode(prompt(name), rounded).hidden;
    CHECK((hidden.scalar_type() == at::kBFloat16));
    const double error = rms(hidden, encoder().encode(prompt(name), exact).hidden);
    CHECK(error <= 1.5 * each.hidden);
    CHECK(error > 0);
  }
}

TEST_CASE("gradients reach the weights and the picture") {
  TextEncoderFiles files = open_text_encoder(text_encoder_layout(kGolden / "qwen-sharded"));
  const Weights weights = load_weights(files.checkpoint, files.table, at::kFloat);
  for (const auto& [name, tensor] : weights.tensors()) tensor.set_requires_grad(true);
  const TextEncoder trainable(files.config, weights);
  const at::Tensor pixels = golden_tensor(golden(), "image0.pixel_values").set_requires_grad(true);
  const PictureTokens tokens = trainable.encode_picture(pixels, {4, 6});
  const auto [first, second] = trainable.encode_pair(prompt("plain"), prompt("bang"), tokens);
  (first.hidden.square().sum() + second.hidden.square().sum()).backward();
  CHECK(pixels.grad().abs().max().item<double>() > 0);
  for (const auto& [name, tensor] : weights.tensors()) {
    CAPTURE(name);
    REQUIRE(tensor.grad().defined());
    CHECK(tensor.grad().isfinite().all().item<bool>());
    CHECK(tensor.grad().abs().max().item<double>() > 0);
  }
}
