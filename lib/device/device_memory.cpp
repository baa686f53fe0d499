#include "device/device_memory.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <sys/mman.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/size.hpp"
#include "device/cuda.hpp"
#include "memory/available.hpp"

namespace step1x {

namespace {

// A mapping of its own, in huge pages where there are any: as a GPU's memory it comes and goes in one piece.
at::Tensor map_bytes(std::uint64_t bytes, std::function<void()> freed) {
  void* start = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED)
    throw Error::format(ErrorCode::out_of_memory, "cannot map {} bytes: {}", bytes, errno_text());
  ::madvise(start, bytes, MADV_HUGEPAGE);
  ::madvise(start, bytes, MADV_DONTDUMP);
  return at::from_blob(
      start, {static_cast<std::int64_t>(bytes)},
      [bytes, freed = std::move(freed)](void* memory) {
        ::munmap(memory, bytes);
        freed();
      },
      at::kByte);
}

}  // namespace

std::uint64_t DeviceMemory::Simulated::free() const {
  const std::uint64_t busy = has.busy > 0 && std::filesystem::exists(has.busy_file) ? has.busy : 0;
  return has.bytes - std::min(has.bytes, used + busy);
}

DeviceMemory DeviceMemory::simulate(Simulation simulation) {
  DeviceMemory memory(at::kCPU);
  memory.simulated_ = std::make_shared<Simulated>(Simulated{std::move(simulation), 0});
  return memory;
}

at::Tensor DeviceMemory::allocate(std::uint64_t bytes) const {
  if (!simulated_) return at::empty({static_cast<std::int64_t>(bytes)}, at::TensorOptions(at::kByte).device(device_));
  const std::uint64_t left = simulated_->free() - std::min(simulated_->free(), simulated_->has.taken);
  if (bytes > left) {
    throw Error::format(ErrorCode::out_of_memory, "out of memory on the simulated device: {} needed, {} of {} free",
                        format_size(bytes), format_size(left), format_size(simulated_->has.bytes));
  }
  const at::Tensor memory = map_bytes(bytes, [simulated = simulated_, bytes] { simulated->used -= bytes; });
  simulated_->used += bytes;
  return memory;
}

std::uint64_t DeviceMemory::free_bytes() const {
  if (simulated_) return simulated_->free();
  if (device_.is_cpu()) return available_memory();
  const Counters now = counters();
  const auto kept = static_cast<std::uint64_t>(now.reserved_bytes - now.allocated_bytes);
  return at::getDeviceAllocator(device_.type())->getMemoryInfo(device_.index()).first + kept;
}

DeviceMemory::Counters DeviceMemory::counters() const {
  if (simulated_) {
    const auto used = static_cast<std::int64_t>(simulated_->used);
    return {used, used};
  }
  if (device_.is_cpu()) return {};
  const auto stats = at::getDeviceAllocator(device_.type())->getDeviceStats(device_.index());
  constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return {stats.allocated_bytes[kAll].current, stats.reserved_bytes[kAll].current};
}

void DeviceMemory::use() const {
  if (!device_.is_cpu()) c10::impl::VirtualGuardImpl(device_.type()).setDevice(device_);
}

void DeviceMemory::wait() const {
  if (!device_.is_cpu()) c10::impl::VirtualGuardImpl(device_.type()).getStream(device_).synchronize();
}

void DeviceMemory::limit(std::optional<std::uint64_t> most) const {
  if (!device_.is_cuda()) return;
  const std::uint64_t total = at::getDeviceAllocator(device_.type())->getMemoryInfo(device_.index()).second;
  limit_cuda_memory(device_.index(), total, most);
}

void DeviceMemory::trim() const {
  if (!device_.is_cpu()) at::getDeviceAllocator(device_.type())->emptyCache();
}

}  // namespace step1x
