#include <set>
#include <string>

#include "demo/drawings.hpp"
#include "demo/phrases.hpp"
#include "support/doctest_with_torch.hpp"

using namespace step1x;
using namespace step1x::demo;

TEST_CASE("drawings are pictures in range, the same for the same seed and others for others") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed);
    const at::Tensor picture = drawing(random, 64);
    CHECK(picture.sizes() == at::IntArrayRef({3, 64, 64}));
    CHECK(picture.min().item<float>() >= 0);
    CHECK(picture.max().item<float>() <= 1);
    Random again(seed);
    CHECK(drawing(again, 64).equal(picture));
    Random other(seed + 1000);
    CHECK_FALSE(drawing(other, 64).equal(picture));
  }
}

TEST_CASE("every edit keeps shape and range, and all but one change the picture") {
  Random random(3);
  const at::Tensor x = drawing(random, 64).unsqueeze(0);
  std::set<std::string> names;
  for (const Edit edit : kEdits) {
    CAPTURE(std::string(name(edit)));
    names.emplace(name(edit));
    const at::Tensor y = apply(edit, x);
    CHECK(y.sizes() == x.sizes());
    CHECK(y.min().item<float>() >= -1e-6F);
    CHECK(y.max().item<float>() <= 1 + 1e-6F);
    CHECK(y.allclose(x) == (edit == Edit::none));
  }
  CHECK(names.size() == kEdits.size());
}

TEST_CASE("training never meets a wording that results are judged by") {
  for (const Edit edit : kEdits) {
    CAPTURE(std::string(name(edit)));
    std::set<std::string> seen;
    Random random(7);
    for (int i = 0; i < 5000; ++i) seen.insert(phrase(edit, random));
    CHECK(seen.size() > 100);
    CHECK_FALSE(unseen_phrases(edit).empty());
    for (const std::string_view unseen : unseen_phrases(edit)) CHECK_FALSE(seen.contains(std::string(unseen)));
    for (const std::string& text : seen) CHECK(text.find_first_of("()|$#") == std::string::npos);
  }
}
