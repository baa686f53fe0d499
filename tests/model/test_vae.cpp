#include <ATen/core/grad_mode.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "model/loading.hpp"
#include "model/noise.hpp"
#include "model/numbers.hpp"
#include "model/vae_parts.hpp"
#include "nn/tiles.hpp"
#include "support/doctest_with_torch.hpp"
#include "support/golden.hpp"

using namespace step1x;
using step1x::test::difference;
using step1x::test::kGolden;
using step1x::test::random;

namespace {

const Vae& vae() {
  static const Vae loaded = load_vae(find_layout(kGolden / "bundle"), at::kFloat);
  return loaded;
}

double rms(const at::Tensor& x) {
  return x.square().mean().sqrt().item<double>();
}

// Forgets the peak of this process's memory; and what it has been since, in bytes.
void reset_peak() {
  std::ofstream("/proc/self/clear_refs") << 5;
}
std::int64_t status_bytes(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key + ":")) return std::stoll(line.substr(key.size() + 1)) * 1024;
  }
  throw std::runtime_error("/proc/self/status has no " + key);
}

}  // namespace

TEST_CASE("the middle attention gives the same in small groups of queries") {
  const at::Tensor x = random({2, 32, 9, 7}, 1);
  const MiddleAttention& attention = vae().parts().encoder.middle().attention;
  const at::Tensor whole = attention(x, at::kFloat, kMaxVaeScores);
  for (const std::int64_t scores : {1, 63, 100, 63 * 10, 63 * 63}) {
    CHECK(difference(attention(x, at::kFloat, scores), whole) < 1e-5);
  }
}

TEST_CASE("the middle attention of a picture of 1024 pixels never holds the full score matrix") {
  const at::NoGradGuard no_grad;
  const at::Tensor x = random({1, 32, 128, 128}, 1);
  const MiddleAttention& attention = vae().parts().encoder.middle().attention;
  attention(random({1, 32, 8, 8}, 2), at::kFloat, kMaxVaeScores);
  reset_peak();
  const std::int64_t before = status_bytes("VmRSS");
  attention(x, at::kFloat, kMaxVaeScores);
  // The matrix takes 128^4 * 4 bytes = 1 GiB.
  CHECK(status_bytes("VmHWM") - before < std::int64_t{512} << 20);
}

TEST_CASE("tiles cover everything and overlap") {
  for (const std::int64_t size : {1, 7, 8, 9, 20, 64}) {
    CAPTURE(size);
    const std::vector<std::int64_t> starts = tile_starts(size, 8, 3);
    CHECK(starts.front() == 0);
    for (std::size_t i = 1; i < starts.size(); ++i) {
      CHECK(starts[i] > starts[i - 1]);
      CHECK(starts[i - 1] + 8 - starts[i] >= 3);
    }
    CHECK(starts.back() + 8 >= size);
    if (starts.size() > 1) CHECK(starts.back() + 8 == size);
  }
}

TEST_CASE("a map that looks at one element only is the same in tiles, whatever the scale") {
  const at::Tensor x = random({1, 2, 13, 22}, 4);
  CHECK(difference(map_tiles(x, 8, 3, 1, 1, [](const at::Tensor& t) { return t * 2; }), x * 2) < 1e-6);
  const auto doubled = [](const at::Tensor& t) { return at::upsample_nearest2d(t, {2 * t.size(2), 2 * t.size(3)}); };
  CHECK(difference(map_tiles(x, 8, 3, 2, 1, doubled), doubled(x)) < 1e-6);
}

TEST_CASE("a picture smaller than a tile is the same with tiling") {
  const at::Tensor z = random({1, 16, 6, 8}, 5);
  CHECK(difference(vae().decode(z, at::kFloat, VaeTiling{8, 2}), vae().decode(z, at::kFloat)) < 1e-5);
}

TEST_CASE("a tiled picture is near the plain one and has no seams") {
  const at::NoGradGuard no_grad;
  const at::Tensor z = random({1, 16, 20, 28}, 6);
  const at::Tensor plain = vae().decode(z, at::kFloat);
  const at::Tensor tiled = vae().decode(z, at::kFloat, VaeTiling{16, 8});
  // Norms over a tile differ from norms over the picture; the content must not.
  CHECK(rms(tiled - plain) < 0.25 * rms(plain));
  const auto steps = [](const at::Tensor& x) { return (x.slice(3, 1) - x.slice(3, 0, -1)).abs().max().item<double>(); };
  CHECK(steps(tiled) < 1.2 * steps(plain));
  const at::Tensor picture = random({1, 3, 160, 224}, 7);
  const at::Tensor moments = vae().moments(picture, at::kFloat);
  CHECK(rms(vae().moments(picture, at::kFloat, VaeTiling{16, 8}) - moments) < 0.25 * rms(moments));
}

TEST_CASE("bf16 encodes about what float32 does") {
  const at::Tensor picture = random({1, 3, 32, 48}, 8).clamp(-1, 1);
  const at::Tensor wide = vae().moments(picture, at::kFloat);
  const at::Tensor narrow = vae().moments(picture, at::kBFloat16);
  CHECK((narrow.scalar_type() == at::kBFloat16));
  CHECK(rms(narrow.to(at::kFloat) - wide) < 0.02 * rms(wide));
}

TEST_CASE("a picture whose sides the VAE cannot halve often enough is refused with the sizes") {
  CHECK_THROWS_WITH(vae().moments(random({1, 3, 32, 50}, 9), at::kFloat),
                    "a picture of 50x32 cannot be encoded: its sides must be multiples of 8");
}
