#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <random>

#include "base/error.hpp"
#include "model/encoder_patches.hpp"
#include "support/temp_dir.hpp"
// clang-format off: after libtorch
#include "support/doctest_with_torch.hpp"
// clang-format on

using namespace step1x;
using namespace step1x::test;
using nlohmann::json;

namespace {

constexpr std::int64_t kToken = 28 * 28;

ModelLayout layout_with(const TempDir& dir, const char* processor, LayoutKind kind, ModelVersion version) {
  ModelLayout layout;
  layout.kind = kind;
  layout.version = version;
  layout.processor_config = dir.write("preprocessor_config.json", processor);
  layout.config = dir.path() / "config.json";
  return layout;
}

std::vector<std::uint8_t> noise(int width, int height) {
  std::mt19937 random(7);
  std::vector<std::uint8_t> rgb(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
  for (std::uint8_t& value : rgb) value = static_cast<std::uint8_t>(random());
  return rgb;
}

}  // namespace

TEST_CASE("the flat layout keeps its own range of pixels, which its config.json may replace") {
  const TempDir dir;
  const ModelLayout layout = layout_with(dir, R"({"min_pixels": 3136, "max_pixels": 12845056, "image_mean": [0,0,0]})",
                                         LayoutKind::flat, ModelVersion::v1_0);
  const EncoderPictureConfig config = read_encoder_picture_config(layout, {});
  CHECK(config.min_pixels == 256 * kToken);
  CHECK(config.max_pixels == 324 * kToken);
  CHECK(config.mean == std::array<double, 3>{0, 0, 0});
  CHECK(config.twice);
  CHECK(read_encoder_picture_config(layout, {{"max_pixels", 9408}}).max_pixels == 9408);
}

TEST_CASE("a diffusers folder names its range in either of two ways") {
  const TempDir dir;
  const auto read = [&](const char* text, ModelVersion version) {
    return read_encoder_picture_config(layout_with(dir, text, LayoutKind::diffusers, version), {});
  };
  const auto sized =
      read(R"({"min_pixels": null, "size": {"shortest_edge": 100, "longest_edge": 200}})", ModelVersion::v1_1);
  CHECK(sized.min_pixels == 100);
  CHECK(sized.max_pixels == 200);
  CHECK(sized.twice);
  const auto both =
      read(R"({"min_pixels": 300, "max_pixels": 400, "size": {"shortest_edge": 100}})", ModelVersion::v1_2);
  CHECK(both.min_pixels == 300);
  CHECK(both.max_pixels == 400);
  CHECK_FALSE(both.twice);
  CHECK(read("{}", ModelVersion::v1_2).max_pixels == 400 * kToken);
}

TEST_CASE("an image processor's configuration that makes no sense is refused with its key") {
  const TempDir dir;
  const auto read = [&](const char* text) {
    return read_encoder_picture_config(layout_with(dir, text, LayoutKind::diffusers, ModelVersion::v1_2), {});
  };
  CHECK_THROWS_WITH_AS(read(R"({"image_std": [1, 2]})"),
                       doctest::Contains("preprocessor_config.json: 'image_std' is [1,2], expected three numbers"),
                       Error);
  for (const char* step : {"do_convert_rgb", "do_resize", "do_rescale", "do_normalize"}) {
    const std::string name(step);
    CHECK_THROWS_WITH_AS(read(("{\"" + name + "\": false}").c_str()),
                         doctest::Contains(("'" + name + "' is false, expected true").c_str()), Error);
    CHECK_NOTHROW(read(("{\"" + name + "\": true}").c_str()));
  }
  CHECK_THROWS_WITH_AS(read(R"({"rescale_factor": 0.5})"), doctest::Contains("'rescale_factor' is 0.5"), Error);
  CHECK_NOTHROW(read(R"({"rescale_factor": 0.00392156862745098})"));
  CHECK_THROWS_WITH_AS(read(R"({"max_pixels": -1})"), doctest::Contains("'max_pixels' is -1"), Error);
  CHECK_THROWS_WITH_AS(read(R"({"patch_size": 0})"), doctest::Contains("'patch_size' is 0"), Error);
  CHECK_THROWS_WITH_AS(read(R"({"image_std": [1, 0, 1]})"), doctest::Contains("'image_std'"), Error);
}

TEST_CASE("rows of patches hold one token's patches after the other, and the still picture twice") {
  EncoderPictureConfig config;
  config.twice = false;
  config.min_pixels = kToken;
  config.max_pixels = 100 * kToken;
  config.mean = {0, 0, 0};
  config.deviation = {1, 1, 1};
  const std::vector<std::uint8_t> rgb = noise(56, 28);
  const EncoderPatches patches = encoder_patches({56, 28, rgb}, config, LayoutKind::flat);
  CHECK(patches.grid.rows == 2);
  CHECK(patches.grid.columns == 4);
  CHECK(patches.tokens == 2);
  REQUIRE(patches.pixels.sizes() == at::IntArrayRef({8, 1176}));
  const at::Tensor values = patches.pixels.view({2, 2, 2, 3, 2, 14, 14});  // token, row, column, channel, time, y, x
  for (const auto& [token, row, column] : {std::array{0, 0, 1}, std::array{1, 1, 0}}) {
    const at::Tensor patch = values.select(0, token).select(0, row).select(0, column);
    CHECK(patch.select(1, 0).equal(patch.select(1, 1)));
    const int x = token * 28 + column * 14 + 3;
    const int y = row * 14 + 5;
    const float expected =
        static_cast<float>(rgb[(static_cast<std::size_t>(y) * 56 + static_cast<std::size_t>(x)) * 3 + 2]) / 255;
    CHECK(patch.select(0, 2).select(0, 0).select(0, 5).select(0, 3).item<float>() == doctest::Approx(expected));
  }
}

TEST_CASE("a picture that is too long and thin is refused") {
  const std::vector<std::uint8_t> rgb(1 * 300 * 3);
  CHECK_THROWS_WITH_AS(encoder_patches({300, 1, rgb}, {}, LayoutKind::diffusers), doctest::Contains("300x1"), Error);
}
