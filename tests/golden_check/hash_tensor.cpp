#include "hash_tensor.hpp"

#include "model/golden_tensors.hpp"

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

namespace step1x::test {

std::uint64_t splitmix64(std::uint64_t x) {
  std::uint64_t z = x + 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

at::Tensor hash_tensor(std::uint64_t seed, std::uint64_t k, at::IntArrayRef shape, double scale, double offset) {
  const at::Tensor result = at::empty(shape, at::kFloat);
  auto* out = result.mutable_data_ptr<float>();
  const std::uint64_t base = seed + (k << 40);
  const auto count = static_cast<std::uint64_t>(result.numel());
  for (std::uint64_t i = 0; i < count; ++i) {
    const double unit = static_cast<double>(splitmix64(base + i) >> 40) / 16777216.0 - 0.5;
    out[i] = static_cast<float>(unit * scale + offset);
  }
  return result.to(golden_device());
}

at::Tensor hash_tensor(std::uint64_t seed, const nlohmann::json& about) {
  const at::Tensor result =
      hash_tensor(seed, about.at("k").get<std::uint64_t>(), about.at("shape").get<std::vector<std::int64_t>>(),
                  about.at("scale").get<double>(), about.at("offset").get<double>());
  const auto first = about.at("first4").get<std::vector<float>>();
  for (std::size_t i = 0; i < first.size(); ++i) {
    if (result.flatten()[static_cast<std::int64_t>(i)].item<float>() != first[i]) {
      throw std::runtime_error("the hash rule gives other values than the manifest");
    }
  }
  return result;
}

}  // namespace step1x::test
