// The stand-in for CUDA itself: what runs on it gives what the CPU gives, and what is refused is refused.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/InferenceMode.h>
#include <dlfcn.h>

#include <functional>
#include <vector>

#include "stand_in.hpp"
#include "support/doctest_with_torch.hpp"

namespace {

const at::Device kGpu(at::kCUDA, 0);

// libtorch looks for its devices once, so before the first operator.
const bool kLoaded = [] {
  const bool loaded = ::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr;
  if (loaded) at::globalContext().lazyInitDevice(at::kCUDA);
  return loaded;
}();

using Function = std::function<at::Tensor(const std::vector<at::Tensor>&)>;
struct Operator {
  const char* name;
  std::vector<std::vector<std::int64_t>> shapes;
  Function apply;
};

// Those that the model uses, in the forms in which it does.
const std::vector<Operator> kOperators{
    {"linear", {{2, 5, 16}, {24, 16}, {24}}, [](const auto& x) { return at::linear(x[0], x[1], x[2]); }},
    {"matmul", {{2, 3, 5, 8}, {2, 3, 8, 4}}, [](const auto& x) { return at::matmul(x[0], x[1]); }},
    {"addcmul", {{2, 5, 8}, {2, 1, 8}, {2, 5, 8}}, [](const auto& x) { return at::addcmul(x[0], x[1], x[2]); }},
    {"layer_norm", {{2, 5, 8}, {8}, {8}}, [](const auto& x) { return at::layer_norm(x[0], {8}, x[1], x[2], 1e-6); }},
    {"group_norm", {{2, 8, 4, 4}, {8}, {8}}, [](const auto& x) { return at::group_norm(x[0], 4, x[1], x[2], 1e-6); }},
    {"vector_norm",
     {{2, 5, 8}},
     [](const auto& x) { return at::linalg_vector_norm(x[0], 2, at::IntArrayRef{-1}, true); }},
    {"rsqrt", {{7}}, [](const auto& x) { return at::rsqrt(x[0].square() + 1); }},
    {"silu", {{3, 7}}, [](const auto& x) { return at::silu(x[0]); }},
    {"tanh gelu", {{3, 7}}, [](const auto& x) { return at::gelu(x[0], "tanh"); }},
    {"gelu", {{3, 7}}, [](const auto& x) { return at::gelu(x[0]); }},
    {"sigmoid", {{3, 7}}, [](const auto& x) { return at::sigmoid(x[0]); }},
    {"softmax", {{3, 7}}, [](const auto& x) { return at::softmax(x[0], -1); }},
    {"sin and cos", {{3, 7}}, [](const auto& x) { return at::cat({at::sin(x[0]), at::cos(x[0])}, 0); }},
    {"pad", {{1, 3, 4}}, [](const auto& x) { return at::constant_pad_nd(x[0], {0, 0, 0, 2}); }},
    {"in place", {{3, 4}, {3, 4}}, [](const auto& x) { return x[0].clone().add_(x[1]).mul_(2).clamp_(-1, 1); }},
    {"into a part",
     {{3, 4}},
     [](const auto& x) {
       at::Tensor y = x[0].clone();
       y.narrow(1, 1, 2).fill_(3);
       return y;
     }},
    {"index",
     {{5, 4}},
     [](const auto& x) { return at::index_select(x[0], 0, at::tensor({4, 0, 2}, at::kLong).to(x[0].device())); }},
    {"mask", {{5, 4}}, [](const auto& x) { return x[0].index({x[0].gt(0)}); }},
    {"sum and mean", {{5, 4}}, [](const auto& x) { return x[0].sum(0) + x[0].mean(0); }},
    {"convolution",
     {{1, 3, 8, 8}, {4, 3, 3, 3}, {4}},
     [](const auto& x) { return at::conv2d(x[0], x[1], x[2], at::IntArrayRef{1, 1}, at::IntArrayRef{1, 1}); }},
    {"strided convolution",
     {{1, 3, 8, 8}, {4, 3, 3, 3}},
     [](const auto& x) { return at::conv2d(x[0], x[1], {}, at::IntArrayRef{2, 2}); }},
    {"nearest upsampling", {{1, 3, 4, 4}}, [](const auto& x) { return at::upsample_nearest2d(x[0], {8, 8}); }},
    {"attention",
     {{1, 2, 9, 64}, {1, 2, 11, 64}, {1, 2, 11, 64}},
     [](const auto& x) { return at::scaled_dot_product_attention(x[0], x[1], x[2]); }},
    {"causal attention",
     {{1, 2, 9, 64}, {1, 2, 9, 64}, {1, 2, 9, 64}},
     [](const auto& x) { return at::scaled_dot_product_attention(x[0], x[1], x[2], {}, 0, true); }},
    {"permuted sum", {{3, 4, 5}, {5, 4, 3}}, [](const auto& x) { return x[0] + x[1].permute({2, 1, 0}); }},
};

double difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type()) return 1e9;
  return (a.to(at::kDouble) - b.cpu().to(at::kDouble)).abs().max().item<double>();
}

}  // namespace

TEST_CASE("an operator on the GPU gives what it gives on the CPU") {
  REQUIRE(kLoaded);
  const c10::InferenceMode no_gradients;
  at::manual_seed(1);
  for (const Operator& each : kOperators) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      CAPTURE(each.name);
      CAPTURE(c10::toString(type));
      std::vector<at::Tensor> on_cpu;
      std::vector<at::Tensor> on_gpu;
      for (const auto& shape : each.shapes) {
        on_cpu.push_back(at::randn(shape).to(type));
        on_gpu.push_back(on_cpu.back().to(kGpu));
      }
      const at::Tensor found = each.apply(on_gpu);
      CHECK(found.is_cuda());
      // Half a unit in the last place of numbers up to about 16, and their sums.
      CHECK(difference(each.apply(on_cpu), found) <= (type == at::kFloat ? 2e-5 : 7e-2));
    }
  }
}

TEST_CASE("no kernel of an operator was launched instead of computed") {
  CHECK(stand_in_count("kernels not replaced") == 0);
}

TEST_CASE("memory on the device is counted, runs out and comes back") {
  auto* allocator = at::getDeviceAllocator(at::kCUDA);
  allocator->emptyCache();
  constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto reserved = [&] { return allocator->getDeviceStats(0).reserved_bytes[kAll].current; };
  const std::int64_t before = reserved();
  CHECK(stand_in_count("used bytes") == before);
  {
    const at::Tensor large = at::empty({64 << 20}, at::TensorOptions(at::kByte).device(kGpu));
    CHECK(reserved() == before + (64 << 20));
    CHECK(stand_in_count("used bytes") == reserved());
    CHECK_THROWS_AS(at::empty({std::int64_t{8} << 30}, at::TensorOptions(at::kByte).device(kGpu)),
                    c10::OutOfMemoryError);
  }
  allocator->emptyCache();
  CHECK(stand_in_count("used bytes") == before);
}

TEST_CASE("a refused allocation is tried once more after what is kept was given back, and then is an error") {
  at::getDeviceAllocator(at::kCUDA)->emptyCache();
  const auto make = [] { return at::empty({32 << 20}, at::TensorOptions(at::kByte).device(kGpu)); };
  stand_in_set("fail_on", 1);
  stand_in_set("fail_malloc", 1);
  CHECK_THROWS_AS(make(), c10::OutOfMemoryError);
  stand_in_set("fail_on", 0);
  stand_in_set("fail_malloc", 0);
  CHECK(make().defined());
}

TEST_CASE("fresh memory is not a number") {
  at::getDeviceAllocator(at::kCUDA)->emptyCache();
  const at::Tensor fresh = at::empty({1 << 20}, at::TensorOptions(at::kFloat).device(kGpu));
  CHECK(fresh.isnan().all().item<bool>());
}

TEST_CASE("the same seed gives the same numbers on the GPU, however often it is set") {
  const auto draw = [] { return at::randn({100}, at::TensorOptions(at::kFloat).device(kGpu)).cpu(); };
  at::manual_seed(5);
  const at::Tensor first = draw();
  const at::Tensor second = draw();
  at::manual_seed(5);
  CHECK(at::equal(draw(), first));
  CHECK_FALSE(at::equal(first, second));
  CHECK(at::equal(draw(), second));
}
