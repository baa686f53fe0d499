#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.hpp"
#include "image/encoder_picture.hpp"
#include "image/resize.hpp"
#include "support/golden.hpp"
#include "support/temp_dir.hpp"
#include "support/tensors.hpp"
#include "weights/safetensors.hpp"

using namespace step1x;
using step1x::test::integers;
using step1x::test::kGolden;
using step1x::test::values;

namespace {

struct Picture {
  PictureSize size;
  std::vector<std::uint8_t> bytes;
  RgbView view() const { return {size.width, size.height, bytes}; }
};

Picture picture(const SafetensorsFile& file, const std::string& name) {
  const auto& shape = file.at(name).shape;
  return {{static_cast<int>(shape.at(1)), static_cast<int>(shape.at(0))}, values<std::uint8_t>(file, name)};
}

}  // namespace

TEST_CASE("pictures are resized to the reference's bytes, up and down, with both filters") {
  const SafetensorsFile file(kGolden / "resize.safetensors");
  int lanczos = 0;
  int bicubic = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    const std::string& name = tensor.name;
    CAPTURE(name);
    if (!name.starts_with("img") || name.find('.') == std::string::npos) continue;
    const Picture expected = picture(file, name);
    if (name.ends_with(".bicubic_back")) {
      const Picture source = picture(file, name.substr(0, name.rfind('.')));
      CHECK(resize(source.view(), expected.size, ResizeFilter::bicubic) == expected.bytes);
      ++bicubic;
    } else if (name.find(".lanczos.") != std::string::npos) {
      const Picture source = picture(file, name.substr(0, name.find('.')));
      CHECK(resize(source.view(), expected.size, ResizeFilter::lanczos) == expected.bytes);
      ++lanczos;
    } else {
      REQUIRE(name.find(".bicubic.") != std::string::npos);
      const Picture source = picture(file, name.substr(0, name.find('.')));
      CHECK(resize(source.view(), expected.size, ResizeFilter::bicubic) == expected.bytes);
      ++bicubic;
    }
  }
  CHECK(lanczos >= 9);
  CHECK(bicubic >= 13);
}

TEST_CASE("a picture is edited at the reference's size") {
  const SafetensorsFile file(kGolden / "resize.safetensors");
  const auto rows = integers(file, "geometry");
  REQUIRE(rows.size() >= 300);
  int refused = 0;
  for (std::size_t i = 0; i < rows.size(); i += 5) {
    const PictureSize source{static_cast<int>(rows[i]), static_cast<int>(rows[i + 1])};
    const int level = static_cast<int>(rows[i + 2]);
    CAPTURE(source.width);
    CAPTURE(source.height);
    CAPTURE(level);
    if (rows[i + 3] == 0 || rows[i + 4] == 0) {
      CHECK_THROWS_WITH_AS(edit_size(source, level, 16), doctest::Contains("too long and thin"), Error);
      ++refused;
    } else {
      CHECK(edit_size(source, level, 16) == PictureSize{static_cast<int>(rows[i + 3]), static_cast<int>(rows[i + 4])});
    }
  }
  CHECK(refused > 0);
}

TEST_CASE("resizing to the same size changes nothing; a side at a time changes only that side") {
  const SafetensorsFile file(kGolden / "resize.safetensors");
  const Picture source = picture(file, "img0");
  CHECK(resize(source.view(), source.size, ResizeFilter::lanczos) == source.bytes);
  const auto narrow = resize(source.view(), {20, source.size.height}, ResizeFilter::bicubic);
  CHECK(narrow.size() == static_cast<std::size_t>(20 * source.size.height * 3));
}

TEST_CASE("one pixel becomes a field of one colour, and a field one pixel") {
  const std::vector<std::uint8_t> pixel{0, 128, 255};
  const auto field = resize({1, 1, pixel}, {5, 7}, ResizeFilter::lanczos);
  REQUIRE(field.size() == 105);
  for (std::size_t i = 0; i < field.size(); ++i) CHECK(field[i] == pixel[i % 3]);
  CHECK(resize({5, 7, field}, {1, 1}, ResizeFilter::bicubic) == pixel);
}

TEST_CASE("sizes of nothing are refused") {
  const std::vector<std::uint8_t> pixel{1, 2, 3};
  CHECK_THROWS_AS(resize({1, 1, pixel}, {0, 5}, ResizeFilter::lanczos), Error);
  CHECK_THROWS_AS(resize({0, 1, {}}, {5, 5}, ResizeFilter::lanczos), Error);
  CHECK_THROWS_AS(resize({2, 1, pixel}, {5, 5}, ResizeFilter::lanczos), Error);
  CHECK_THROWS_AS(edit_size({0, 5}, 512, 16), Error);
}

TEST_CASE("the text encoder's picture has the reference's size for every prompt picture") {
  const auto manifest = nlohmann::json::parse(test::read_file(kGolden / "manifest.json"));
  const SafetensorsFile ids(kGolden / "prompt-ids.safetensors");
  for (const auto& prompt : manifest["cases"]["prompt-ids.safetensors"]["prompts"]) {
    const PictureSize source{prompt["image_wh"][0], prompt["image_wh"][1]};
    CAPTURE(source.width);
    CAPTURE(source.height);
    const PictureSize first = smart_resize(source, 28, 4 * 28 * 28, 16384 * 28 * 28);
    CHECK(first == PictureSize{prompt["first_resize_wh"][0], prompt["first_resize_wh"][1]});
    CHECK(smart_resize(first, 28, 256 * 28 * 28, 324 * 28 * 28) ==
          PictureSize{prompt["second_resize_wh"][0], prompt["second_resize_wh"][1]});
    const std::vector<std::uint8_t> black(static_cast<std::size_t>(source.width) * source.height * 3);
    const EncoderPicture prepared = encoder_picture({source.width, source.height, black}, {});
    const auto grid = integers(ids, std::to_string(prompt["index"].get<int>()) + ".image_grid_thw");
    CHECK(prepared.grid_rows == grid[1]);
    CHECK(prepared.grid_columns == grid[2]);
    CHECK(prepared.tokens == grid[1] * grid[2] / 4);
  }
}

TEST_CASE("the vision tower's input is the reference's, exact in every resized byte") {
  const SafetensorsFile file(kGolden / "qwen.safetensors");
  EncoderPictureConfig config;
  config.min_pixels = 3136;
  config.max_pixels = 9408;
  for (const std::string name : {"image0", "image1", "image2"}) {
    CAPTURE(name);
    const Picture source = picture(file, name + ".image");
    const auto patches = encoder_patches(encoder_picture(source.view(), config), config);
    const auto expected = values<float>(file, name + ".pixel_values");
    REQUIRE(patches.size() == expected.size());
    float worst = 0;
    for (std::size_t i = 0; i < patches.size(); ++i) worst = std::max(worst, std::abs(patches[i] - expected[i]));
    CHECK(worst <= 1e-6F);
  }
}

TEST_CASE("a picture too long for the encoder is refused") {
  CHECK_THROWS_WITH_AS(smart_resize({28, 5700}, 28, 200704, 254016), doctest::Contains("28x5700"), Error);
  CHECK_NOTHROW(smart_resize({28, 5600}, 28, 200704, 254016));
}

TEST_CASE("halves are rounded to the even multiple, as the reference's language does") {
  CHECK(smart_resize({70, 98}, 28, 1, 1'000'000) == PictureSize{56, 112});
  CHECK(smart_resize({126, 154}, 28, 1, 1'000'000) == PictureSize{112, 168});
}
