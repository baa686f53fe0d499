#include "training_pictures.hpp"

#include <ATen/ops/upsample_bilinear2d.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.hpp"
#include "demo/drawings.hpp"
#include "demo/edits.hpp"
#include "image/decoder.hpp"
#include "image/resize.hpp"

namespace step1x::train {

namespace {

constexpr std::int64_t kDrawingSide = 256;
constexpr double kPhotographs = 0.6;  // of all pieces

// Results are judged by the first two (in chelsea's case also by eye); the others are no photographs.
constexpr std::array<std::string_view, 14> kLeftOut{"chelsea.png",
                                                    "coffee.png",
                                                    "chessboard_GRAY.png",
                                                    "chessboard_RGB.png",
                                                    "clock_motion.png",
                                                    "color.png",
                                                    "horse.png",
                                                    "logo.png",
                                                    "multipage.tif",
                                                    "multipage_rgb.tif",
                                                    "phantom.png",
                                                    "microaneurysms.png",
                                                    "cell.png",
                                                    "no_time_for_that_tiny.gif"};

at::Tensor bytes_of(const std::vector<std::uint8_t>& rgb, PictureSize size) {
  const at::Tensor rows = at::empty({size.height, size.width, 3}, at::kByte);
  std::ranges::copy(rgb, rows.mutable_data_ptr<std::uint8_t>());
  return rows.permute({2, 0, 1}).contiguous();
}

// The picture with its shorter side at each of these, so that pieces show much of it or little.
constexpr std::array kShorterSides{72, 136, 272, 400};

}  // namespace

Pictures::Pictures(const std::filesystem::path& photographs, std::size_t drawings, std::uint64_t seed) {
  demo::Random random(seed);
  for (std::size_t i = 0; i < drawings; ++i) {
    drawings_.push_back((demo::drawing(random, kDrawingSide) * 255).round().to(at::kByte));
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(photographs)) {
    const std::string extension = entry.path().extension().string();
    if (extension != ".png" && extension != ".jpg") continue;
    if (std::ranges::find(kLeftOut, entry.path().filename().string()) == kLeftOut.end()) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  if (files.empty()) throw Error::format(ErrorCode::usage, "{}: no photographs there", photographs.string());
  for (const std::filesystem::path& file : files) {
    image::Decoder decoder = image::Decoder::from_file(file);
    std::vector<std::uint8_t> rgb(static_cast<std::size_t>(decoder.width()) *
                                  static_cast<std::size_t>(decoder.height()) * 3);
    decoder.read(std::as_writable_bytes(std::span(rgb)));
    const RgbView view{decoder.width(), decoder.height(), rgb};
    const double shorter = std::min(view.width, view.height);
    for (const int side : kShorterSides) {
      const double scale = side / shorter;
      const PictureSize size{std::max(side, static_cast<int>(view.width * scale)),
                             std::max(side, static_cast<int>(view.height * scale))};
      photographs_.push_back(bytes_of(resize(view, size, ResizeFilter::lanczos), size));
    }
  }
}

at::Tensor Pictures::piece(std::int64_t height, std::int64_t width, demo::Random& random) const {
  const bool photograph = random.chance(kPhotographs);
  const std::vector<at::Tensor>& from = photograph ? photographs_ : drawings_;
  at::Tensor whole;
  do {
    whole = from[random.below(from.size())];
  } while (whole.size(1) < height || whole.size(2) < width);
  const auto start = [&](std::int64_t all, std::int64_t part) {
    return static_cast<std::int64_t>(random.below(static_cast<std::size_t>(all - part + 1)));
  };
  at::Tensor piece = whole.narrow(1, start(whole.size(1), height), height)
                         .narrow(2, start(whole.size(2), width), width)
                         .to(at::kFloat)
                         .div(255);
  if (random.chance(0.5)) piece = piece.flip({2});
  if (random.chance(0.2)) piece = piece.flip({1});
  if (random.chance(0.5)) {
    // Few photographs, so that their colours must not be learnt by heart: channels change places, then strength,
    // saturation and brightness.
    std::array<std::int64_t, 3> order{0, 1, 2};
    if (random.chance(0.5)) {
      for (std::size_t i = 2; i > 0; --i) std::swap(order[i], order[random.below(i + 1)]);
    }
    piece = at::stack({piece[order[0]], piece[order[1]], piece[order[2]]});
    const at::Tensor grey = demo::luminance(piece.unsqueeze(0)).squeeze(0);
    piece = grey + (piece - grey) * random.uniform(0.4, 1.5);
    const double low = random.uniform(-0.1, 0.1);
    piece = (piece * random.uniform(0.75, 1.2) + low).clamp(0, 1);
    piece = piece.pow(random.uniform(0.75, 1.35));
  }
  return piece;
}

at::Tensor Pictures::pieces(std::size_t count, std::int64_t height, std::int64_t width, demo::Random& random) const {
  std::vector<at::Tensor> all;
  all.reserve(count);
  for (std::size_t i = 0; i < count; ++i) all.push_back(piece(height, width, random));
  return at::stack(all);
}

}  // namespace step1x::train
