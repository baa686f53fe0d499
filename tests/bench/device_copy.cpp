// The ceiling for bringing weights to a device: the same bytes from one pinned buffer, over and over, by libtorch's own
// copies. Where the device has no memory of its own, a copy from memory to memory. Prints seconds and bytes.
// Usage: bench_device_copy DEVICE BYTES
#include <ATen/ops/empty.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <string>

int main(int argc, char** argv) try {
  if (argc != 3) {
    fmt::print(stderr, "usage: bench_device_copy DEVICE BYTES\n");
    return 2;
  }
  const at::Device device{std::string(argv[1])};
  const std::int64_t bytes = std::stoll(argv[2]);
  if (device.is_cuda() && ::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    fmt::print(stderr, "{}\n", ::dlerror());
    return 1;
  }
  constexpr std::int64_t kBuffer = std::int64_t{256} << 20;
  const at::Tensor from = at::empty({kBuffer}, at::TensorOptions(at::kByte).pinned_memory(device.is_cuda())).fill_(1);
  const at::Tensor to = at::empty({kBuffer}, at::TensorOptions(at::kByte).device(device));
  const auto copy = [&](std::int64_t count) {
    const auto start = std::chrono::steady_clock::now();
    for (std::int64_t done = 0; done < count; done += kBuffer) {
      const std::int64_t now = std::min(kBuffer, count - done);
      to.narrow(0, 0, now).copy_(from.narrow(0, 0, now), /*non_blocking=*/true);
    }
    // Waits for the stream.
    (void)to[0].item();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  copy(kBuffer);
  fmt::print("{} {}\n", copy(bytes), bytes);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
