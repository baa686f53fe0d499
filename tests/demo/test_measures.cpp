#include "measures.hpp"

#include "demo/drawings.hpp"
#include "support/doctest_with_torch.hpp"

using namespace step1x;
using namespace step1x::demo;
using namespace step1x::test;

namespace {

at::Tensor colourful(std::uint64_t seed) {
  for (;; ++seed) {
    Random random(seed);
    at::Tensor x = drawing(random, 128).unsqueeze(0);
    if ((x.amax(1) - x.amin(1)).mean().item<double>() > 0.2) return x;
  }
}

}  // namespace

TEST_CASE("the true edit passes, and neither the picture as it was nor another edit does") {
  // In pale colours: a picture that is purple passes for tinted purple.
  const at::Tensor strong = colourful(11);
  const at::Tensor grey = luminance(strong);
  const at::Tensor x = grey + (strong - grey) * 0.3;
  for (const Edit edit : kEdits) {
    CAPTURE(std::string(name(edit)));
    const at::Tensor truth = apply(edit, x);
    CHECK(judge(edit, x, truth, truth).passed);
    CHECK(judge(edit, x, x, truth).passed == (edit == Edit::none));
    const Edit other = edit == Edit::invert ? Edit::blur : Edit::invert;
    CHECK_FALSE(judge(edit, x, apply(other, x), truth).passed);
  }
}

TEST_CASE("a result that keeps nothing of the picture does not pass") {
  const at::Tensor x = colourful(12);
  const at::Tensor unrelated = colourful(5000);
  for (const Edit edit : kEdits) {
    CAPTURE(std::string(name(edit)));
    CHECK_FALSE(judge(edit, x, apply(edit, unrelated), apply(edit, x)).passed);
  }
}

TEST_CASE("noise and colour errors are measured in their units") {
  const at::Tensor x = at::full({1, 3, 8, 8}, 0.5);
  CHECK(psnr(x, x + 0.1) == doctest::Approx(20).epsilon(1e-4));
  at::Tensor redder = x.clone();
  redder.select(1, 0) += 0.25;
  CHECK(mean_colour_error(x, redder) == doctest::Approx(0.25));
}
