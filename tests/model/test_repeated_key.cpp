#include <ATen/ops/repeat_interleave.h>

#include "model/numbers.hpp"
#include "nn/layers.hpp"
#include "support/doctest_with_torch.hpp"

using namespace step1x;
using step1x::test::random;

namespace {

// Every key once, the repeated one as often as it counts.
at::Tensor spelled_out(const at::Tensor& x, const RepeatedKey& repeated) {
  const at::Tensor counts =
      at::ones({x.size(2)}, at::kLong).index_fill(0, at::full({1}, repeated.place, at::kLong), repeated.count);
  return x.repeat_interleave(counts, 2);
}

}  // namespace

TEST_CASE("a key that counts n times weighs as much as n equal keys, in both ways") {
  for (const auto& [place, count] : {std::pair<std::int64_t, double>{0, 2}, {7, 610}, {40, 35}}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const RepeatedKey repeated{place, count};
      CAPTURE(place);
      CAPTURE(count);
      CAPTURE(std::string(c10::toString(dtype)));
      const at::Tensor q = random({2, 3, 17, 16}, 1).to(dtype);
      const at::Tensor k = random({2, 3, 41, 16}, 2).to(dtype);
      const at::Tensor v = random({2, 3, 41, 16}, 3).to(dtype);
      const at::Tensor truth = attention(q.to(at::kDouble), spelled_out(k, repeated).to(at::kDouble),
                                         spelled_out(v, repeated).to(at::kDouble));
      const double tolerance = dtype == at::kFloat ? 2e-6 : 2e-2;
      for (const auto& way : {biased_attention, merged_attention}) {
        CHECK((way(q, k, v, repeated).to(at::kDouble) - truth).abs().max().item<double>() < tolerance);
      }
      CHECK((attention(q, k, v, repeated).to(at::kDouble) - truth).abs().max().item<double>() < tolerance);
      // What the test can tell: without the count it is another result.
      CHECK((attention(q, k, v).to(at::kDouble) - truth).abs().max().item<double>() > 5 * tolerance);
    }
  }
}
