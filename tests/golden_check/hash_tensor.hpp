// Tensors from an integer hash: large weights for tests that no file holds. The rule is that of golden/full-size.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "nn/aten.hpp"

namespace step1x::test {

std::uint64_t splitmix64(std::uint64_t x);

// Element i of tensor k: float32(((splitmix64(seed + k * 2^40 + i) >> 40) / 2^24 - 0.5) * scale + offset).
at::Tensor hash_tensor(std::uint64_t seed, std::uint64_t k, at::IntArrayRef shape, double scale, double offset);
// `about` names k, shape, scale, offset and the first four values, which are checked.
at::Tensor hash_tensor(std::uint64_t seed, const nlohmann::json& about);

}  // namespace step1x::test
