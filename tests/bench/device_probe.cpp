// What a GPU, its driver and its bus can do at most, which the figures of step1x are read beside: attributes,
// registration of a sealed mapping, and the ceilings of copies, matrix products and attention. Each is tried apart, and
// one that fails is a row that says so: on a machine that nobody has seen yet the rows after it are wanted no less.
//
// Usage: bench_device_probe cuda:N [--short]      (--short: sizes for a device that is slow)
//
// Prints one JSON object a line: {"what", "value", "unit"}, or {"what", "failed"}.
#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "device/host_registration.hpp"
#include "memory/arena.hpp"
#include "support/open_gpu.hpp"

namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr double kGib = 1 << 30;

void print(const json& row) {
  fmt::print("{}\n", row.dump());
  std::fflush(stdout);
}

void row(const std::string& what, double value, const char* unit) {
  print({{"what", what}, {"value", value}, {"unit", unit}});
}

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Of the CUDA runtime, which comes with libtorch (docs.nvidia.com/cuda/cuda-runtime-api).
template <typename... Arguments>
int runtime(const char* name, Arguments... arguments) {
  const auto function = reinterpret_cast<int (*)(Arguments...)>(::dlsym(RTLD_DEFAULT, name));
  if (function == nullptr) throw std::runtime_error(fmt::format("the runtime has no {}", name));
  return function(arguments...);
}

std::string error_name(int error) {
  const auto name = reinterpret_cast<const char* (*)(int)>(::dlsym(RTLD_DEFAULT, "cudaGetErrorName"));
  runtime("cudaGetLastError");
  return name == nullptr ? std::to_string(error) : name(error);
}

class Probe {
 public:
  Probe(at::Device device, bool small) : device_(device), small_(small) {}

  void run() {
    attempt("attributes", [&] { attributes(); });
    attempt("register a sealed mapping", [&] { registration(); });
    attempt("copies", [&] { copies(); });
    attempt("matrix product, bf16", [&] { products(); });
    attempt("attention, bf16", [&] { attention(); });
  }

 private:
  static void attempt(const std::string& what, const std::function<void()>& work) {
    try {
      work();
    } catch (const c10::Error& error) {
      print({{"what", what}, {"failed", error.what_without_backtrace()}});
    } catch (const std::exception& error) {
      print({{"what", what}, {"failed", error.what()}});
    }
  }

  void wait() const { c10::impl::VirtualGuardImpl(device_.type()).synchronizeDevice(device_.index()); }

  // The best of three, after one that does not count.
  double seconds(const std::function<void()>& work) const {
    work();
    double best = 1e9;
    for (int i = 0; i < 3; ++i) {
      wait();
      const auto start = Clock::now();
      work();
      wait();
      best = std::min(best, since(start));
    }
    return best;
  }

  void attributes() const {
    int value = 0;
    for (const char* which : {"cudaDriverGetVersion", "cudaRuntimeGetVersion"}) {
      if (runtime(which, &value) == 0) row(which, value, "");
    }
    // The numbers are those of cudaDeviceAttr.
    constexpr std::pair<const char*, int> kAttributes[] = {{"compute capability, major", 75},
                                                           {"compute capability, minor", 76},
                                                           {"multiprocessors", 16},
                                                           {"L2 cache, bytes", 38},
                                                           {"copy engines", 40},
                                                           {"can register host memory", 99},
                                                           {"can register read-only host memory", 113},
                                                           {"reads pageable memory", 88},
                                                           {"by the host's page tables", 100}};
    for (const auto& [name, number] : kAttributes) {
      const int error = runtime("cudaDeviceGetAttribute", &value, number, static_cast<int>(device_.index()));
      if (error == 0) {
        row(name, value, "");
      } else {
        print({{"what", name}, {"failed", error_name(error)}});
      }
    }
    std::size_t free = 0;
    std::size_t total = 0;
    if (runtime("cudaMemGetInfo", &free, &total) != 0) throw std::runtime_error("cudaMemGetInfo fails");
    row("memory of the device", static_cast<double>(total) / kGib, "GiB");
    row("memory of the device that is free", static_cast<double>(free) / kGib, "GiB");
  }

  // A worker's arena as an engine sees it: with and without the flag for read-only memory, then by the engine's own
  // code, and what a copy from it gains.
  void registration() const {
    const std::uint64_t bytes = small_ ? std::uint64_t{8} << 20 : std::uint64_t{2} << 30;
    const step1x::UniqueFd fd = step1x::create_arena(bytes);
    {
      step1x::ArenaMapping filling(fd.get(), bytes, step1x::ArenaMapping::Access::fill);
      row("  of it in huge pages", static_cast<double>(filling.prepare(0, bytes)) / kGib, "GiB");
      std::ranges::fill(filling.writable(), std::byte{1});
    }
    step1x::seal_arena(fd.get());
    const step1x::ArenaMapping mapping(fd.get(), bytes, step1x::ArenaMapping::Access::read);
    const std::span<const std::byte> all = mapping.bytes();
    for (const unsigned flags : {0U, 8U}) {
      const std::string what = fmt::format("register a sealed mapping, flags {}", flags);
      void* start = const_cast<std::byte*>(all.data());
      const int error = runtime("cudaHostRegister", start, std::min<std::size_t>(all.size(), 1 << 22), flags);
      if (error != 0) {
        print({{"what", what}, {"failed", error_name(error)}});
        continue;
      }
      row(what, 1, "works");
      runtime("cudaHostUnregister", start);
    }
    row("copy from a sealed mapping, not registered", copy_rate(all), "GiB/s");
    const auto driver = step1x::HostRegistration::cuda(device_.index());
    if (!driver) throw std::runtime_error("CUDA is not loaded");
    const auto start = Clock::now();
    std::vector<const std::byte*> pinned;
    std::size_t done = 0;
    while (done < all.size()) {
      const auto left = all.subspan(done);
      const auto piece = left.first(std::min(left.size(), step1x::HostRegistration::piece_left(left.data())));
      if (!driver->pin(piece)) break;
      pinned.push_back(piece.data());
      done += piece.size();
    }
    const double took = since(start);
    row("share of a sealed mapping that is registered", static_cast<double>(done) / static_cast<double>(all.size()),
        "");
    if (done == all.size()) {
      row("registering", static_cast<double>(done) / kGib / took, "GiB/s");
      row("copy from a sealed mapping, registered", copy_rate(all), "GiB/s");
    }
    for (const std::byte* piece : pinned) driver->unpin(piece);
  }

  // In pieces, as a copy must not cross from one registration into the next.
  double copy_rate(std::span<const std::byte> from) const {
    constexpr auto kPiece = static_cast<std::int64_t>(step1x::HostRegistration::kPiece);
    const at::Tensor to = at::empty({kPiece}, at::TensorOptions(at::kByte).device(device_));
    const double took = seconds([&] {
      for (std::size_t done = 0; done < from.size();) {
        const auto left = from.subspan(done);
        const std::size_t now = std::min(left.size(), step1x::HostRegistration::piece_left(left.data()));
        const auto count = static_cast<std::int64_t>(now);
        to.narrow(0, 0, count)
            .copy_(at::from_blob(const_cast<std::byte*>(left.data()), {count}, at::TensorOptions(at::kByte)), true);
        done += now;
      }
    });
    return static_cast<double>(from.size()) / kGib / took;
  }

  void copies() const {
    const std::int64_t bytes = small_ ? std::int64_t{4} << 20 : std::int64_t{1} << 30;
    const at::Tensor there = at::empty({bytes}, at::TensorOptions(at::kByte).device(device_));
    const at::Tensor pageable = at::empty({bytes}, at::kByte).fill_(1);
    const at::Tensor pinned = at::empty({bytes}, at::TensorOptions(at::kByte).pinned_memory(true)).fill_(1);
    const auto rate = [&](const std::string& what, const at::Tensor& to, const at::Tensor& from) {
      attempt(what,
              [&] { row(what, static_cast<double>(bytes) / kGib / seconds([&] { to.copy_(from, true); }), "GiB/s"); });
    };
    rate("copy to the device, pinned", there, pinned);
    rate("copy to the device, pageable", there, pageable);
    rate("copy from the device, pinned", pinned, there);
    rate("copy on the device", at::empty_like(there), there);
  }

  at::Tensor random(at::IntArrayRef shape) const {
    return at::randn(shape, at::TensorOptions(at::kBFloat16).device(device_));
  }

  // What the transformer multiplies at 1024 pixels, and a square one.
  void products() const {
    struct Shape {
      std::int64_t m, k, n;
    };
    const Shape large[] = {{8832, 3072, 12288}, {8832, 12288, 3072}, {8832, 3072, 3072}, {8192, 8192, 8192}};
    const Shape tiny[] = {{64, 64, 64}};
    for (const auto& [m, k, n] : small_ ? std::span<const Shape>(tiny) : std::span<const Shape>(large)) {
      const at::Tensor a = random({m, k});
      const at::Tensor b = random({k, n});
      const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n);
      row(fmt::format("matrix product, bf16, {} x {} x {}", m, k, n), flops / seconds([&] { at::matmul(a, b); }) / 1e12,
          "TFLOP/s");
    }
  }

  void attention() const {
    const std::int64_t heads = small_ ? 2 : 24;
    const std::int64_t tokens = small_ ? 64 : 8832;
    const std::int64_t width = small_ ? 64 : 128;
    const at::Tensor q = random({1, heads, tokens, width});
    const at::Tensor k = random({1, heads, tokens, width});
    const at::Tensor v = random({1, heads, tokens, width});
    const double flops = 4.0 * static_cast<double>(tokens * tokens) * static_cast<double>(heads * width);
    // What libtorch takes by itself, cuDNN's on Hopper, beside what the engine has it take (model/cuda_choices.hpp).
    for (const bool cudnn : {true, false}) {
      at::globalContext().setSDPUseCuDNN(cudnn);
      row(fmt::format("attention, bf16, {} tokens, cuDNN {}", tokens, cudnn ? "allowed" : "off"),
          flops / seconds([&] { at::scaled_dot_product_attention(q, k, v); }) / 1e12, "TFLOP/s");
    }
  }

  at::Device device_;
  bool small_;
};

}  // namespace

int main(int argc, char** argv) try {
  const bool small = argc == 3 && std::string(argv[2]) == "--short";
  if (argc != 2 && !small) {
    fmt::print(stderr, "usage: bench_device_probe cuda:N [--short]\n");
    return 2;
  }
  const at::Device device = step1x::test::open_gpu(argv[1]);
  const c10::InferenceMode no_gradients;
  Probe(device, small).run();
  return 0;
} catch (const c10::Error& error) {
  fmt::print(stderr, "bench_device_probe: {}\n", error.what_without_backtrace());
  return 1;
} catch (const std::exception& error) {
  fmt::print(stderr, "bench_device_probe: {}\n", error.what());
  return 1;
}
