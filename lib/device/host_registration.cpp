#include "device/host_registration.hpp"

#include <dlfcn.h>

#include <algorithm>

namespace step1x {

namespace {

// The CUDA runtime's, which comes with libtorch (docs.nvidia.com/cuda/cuda-runtime-api).
constexpr int kCudaSuccess = 0;
constexpr int kReadOnlySupported = 113;  // cudaDevAttrHostRegisterReadOnlySupported
constexpr unsigned kReadOnly = 8;        // cudaHostRegisterReadOnly

struct Cuda {
  int (*set_device)(int) = nullptr;
  int (*attribute)(int*, int, int) = nullptr;
  int (*pin)(void*, std::size_t, unsigned) = nullptr;
  int (*unpin)(void*) = nullptr;
  int (*forget_error)() = nullptr;

  template <typename Function>
  static bool find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(RTLD_DEFAULT, name));
    return function != nullptr;
  }
  bool load() {
    return find(set_device, "cudaSetDevice") && find(attribute, "cudaDeviceGetAttribute") &&
           find(pin, "cudaHostRegister") && find(unpin, "cudaHostUnregister") && find(forget_error, "cudaGetLastError");
  }
};

}  // namespace

std::optional<HostRegistration::Driver> HostRegistration::cuda(int device) {
  Cuda cuda;
  if (!cuda.load()) return std::nullopt;
  int supported = 0;
  const unsigned flags =
      cuda.attribute(&supported, kReadOnlySupported, device) == kCudaSuccess && supported != 0 ? kReadOnly : 0;
  return Driver{.pin =
                    [cuda, device, flags](std::span<const std::byte> piece) {
                      // Every thread is on device 0 until it says otherwise.
                      if (cuda.set_device(device) == kCudaSuccess &&
                          cuda.pin(const_cast<std::byte*>(piece.data()), piece.size(), flags) == kCudaSuccess)
                        return true;
                      cuda.forget_error();
                      return false;
                    },
                .unpin =
                    [cuda](const std::byte* start) {
                      if (cuda.unpin(const_cast<std::byte*>(start)) != kCudaSuccess) cuda.forget_error();
                    }};
}

HostRegistration::HostRegistration(std::span<const std::byte> memory, Driver driver)
    : driver_(std::move(driver)), thread_([this, memory](const std::stop_token& stop) { pin_all(stop, memory); }) {}

HostRegistration::~HostRegistration() {
  thread_.request_stop();
  thread_.join();
  for (const std::byte* start : pinned_) driver_.unpin(start);
}

void HostRegistration::pin_all(const std::stop_token& stop, std::span<const std::byte> memory) {
  while (!memory.empty() && !stop.stop_requested()) {
    const std::size_t bytes = std::min(memory.size(), piece_left(memory.data()));
    if (!driver_.pin(memory.first(bytes))) return;
    pinned_.push_back(memory.data());
    memory = memory.subspan(bytes);
  }
}

}  // namespace step1x
