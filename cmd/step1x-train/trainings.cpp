#include "trainings.hpp"

#include <ATen/Context.h>

namespace step1x::train {

demo::Random random_of_step(const Options& options, std::int64_t step) {
  const std::uint64_t seed = options.seed * 1'000'003 + static_cast<std::uint64_t>(step);
  at::manual_seed(seed);
  return demo::Random(seed);
}

}  // namespace step1x::train
