#include "device/device_copy.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/core/thread_pool.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <thread>
#include <vector>

#include "device/host_registration.hpp"

namespace step1x {

namespace {

// Two would do where both ends are equally fast; the others even out what the processor is late.
constexpr std::size_t kBuffers = 4;
constexpr std::size_t kBufferBytes = std::size_t{32} << 20;
// More do not copy faster. (at::parallel_for is one thread in code that is not compiled for OpenMP, as ours is.)
constexpr std::size_t kThreads = 8;

// libtorch has no tensor of constant memory.
at::Tensor tensor_of(std::span<const std::byte> bytes) {
  return at::from_blob(const_cast<std::byte*>(bytes.data()), {static_cast<std::int64_t>(bytes.size())}, at::kByte);
}

// The driver is asked for an address, and has pinned the piece that it lies in or none of it.
bool is_pinned(std::span<const std::byte> within_piece) {
  return tensor_of(within_piece.first(1)).is_pinned() && tensor_of(within_piece.last(1)).is_pinned();
}

}  // namespace

struct DeviceCopy::Mark::Event {
  explicit Event(at::Device on) : device(on), event(on.type()) {}
  at::Device device;
  c10::Event event;
};

DeviceCopy::Mark::Mark(at::Device device) : event_(device.is_cpu() ? nullptr : std::make_unique<Event>(device)) {}
DeviceCopy::Mark::Mark(Mark&&) noexcept = default;
DeviceCopy::Mark& DeviceCopy::Mark::operator=(Mark&&) noexcept = default;
DeviceCopy::Mark::~Mark() = default;

void DeviceCopy::Mark::set() {
  if (event_) event_->event.record(c10::impl::VirtualGuardImpl(event_->device.type()).getStream(event_->device));
}

void DeviceCopy::Mark::wait() {
  if (event_) event_->event.block(c10::impl::VirtualGuardImpl(event_->device.type()).getStream(event_->device));
}

struct DeviceCopy::Gpu {
  struct Buffer {
    at::Tensor pinned;
    c10::Event copied;
    bool used = false;
  };

  struct UnderWay {
    UnderWay(c10::DeviceType type, std::uint64_t size)
        : begin(type, c10::EventFlag::BACKEND_DEFAULT), end(type, c10::EventFlag::BACKEND_DEFAULT), bytes(size) {}
    c10::Event begin;  // with times
    c10::Event end;
    CopyWay way = CopyWay::pinned;
    std::uint64_t bytes;
  };

  explicit Gpu(const DeviceMemory& memory)
      : stream(c10::impl::VirtualGuardImpl(memory.device().type()).getStreamFromGlobalPool(memory.device())),
        buffers(pinned_buffers(memory.device())),
        meter(memory.copies()) {}

  // Those that are done go into the meter.
  void measure() {
    for (; !under_way.empty() && under_way.front().end.query(); under_way.pop_front()) {
      const UnderWay& done = under_way.front();
      meter->add(done.way, done.bytes, done.begin.elapsedTime(done.end) / 1000);
    }
  }

  // Empty where the driver refuses to pin as much: then a copy goes through the driver's own buffers, slower and not
  // beside the computation.
  static std::vector<Buffer> pinned_buffers(at::Device device) {
    std::vector<Buffer> made;
    try {
      while (made.size() < kBuffers) {
        made.push_back(
            {at::empty({static_cast<std::int64_t>(kBufferBytes)}, at::TensorOptions(at::kByte).pinned_memory(true)),
             c10::Event(device.type())});
      }
    } catch (const c10::Error&) {
      made.clear();
    }
    return made;
  }

  // One thread does not reach the speed of the bus.
  void copy(std::span<const std::byte> from, std::byte* to) {
    const std::size_t threads = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, kThreads);
    if (!pool) pool = std::make_unique<c10::ThreadPool>(static_cast<int>(threads));
    const std::size_t share = from.size() / threads + 1;
    for (std::size_t at = 0; at < from.size(); at += share) {
      const auto part = from.subspan(at, std::min(share, from.size() - at));
      pool->run([part, start = to + at] { std::memcpy(start, part.data(), part.size()); });
    }
    pool->waitWorkComplete();
  }

  c10::Stream stream;
  std::vector<Buffer> buffers;
  std::unique_ptr<c10::ThreadPool> pool;  // once something is staged
  std::size_t next = 0;
  std::shared_ptr<CopyMeter> meter;
  std::deque<UnderWay> under_way;
};

DeviceCopy::DeviceCopy(const DeviceMemory& memory) {
  if (memory.device().is_cpu()) return;
  gpu_ = std::make_unique<Gpu>(memory);
  Mark now(memory.device());
  now.set();
  wait(now);
}

DeviceCopy::~DeviceCopy() {
  try {
    if (!gpu_) return;
    gpu_->stream.synchronize();
    gpu_->measure();
  } catch (const c10::Error&) {
    // It stays the device's, so the next one who asks for something is told; this may be running because of it.
  }
}

void DeviceCopy::copy(std::span<const std::byte> from, const at::Tensor& to) {
  if (!gpu_) {
    // By libtorch's threads, where there is work for more than one.
    to.copy_(tensor_of(from));
    return;
  }
  const c10::StreamGuard on(gpu_->stream);
  gpu_->measure();
  Gpu::UnderWay& measured = gpu_->under_way.emplace_back(to.device().type(), from.size());
  measured.begin.record(gpu_->stream);
  for (std::size_t done = 0; done < from.size();) {
    const auto piece =
        from.subspan(done, std::min(from.size() - done, HostRegistration::piece_left(from.data() + done)));
    const bool straight = is_pinned(piece);
    if (!straight) measured.way = gpu_->buffers.empty() ? CopyWay::pageable : CopyWay::staged;
    if (straight || gpu_->buffers.empty()) {
      to.narrow(0, static_cast<std::int64_t>(done), static_cast<std::int64_t>(piece.size()))
          .copy_(tensor_of(piece), /*non_blocking=*/true);
      done += piece.size();
      continue;
    }
    Gpu::Buffer& buffer = gpu_->buffers[gpu_->next++ % kBuffers];
    if (buffer.used) buffer.copied.synchronize();
    const std::size_t bytes = std::min(kBufferBytes, piece.size());
    auto* pinned = static_cast<std::byte*>(buffer.pinned.mutable_data_ptr());
    gpu_->copy(from.subspan(done, bytes), pinned);
    const auto count = static_cast<std::int64_t>(bytes);
    to.narrow(0, static_cast<std::int64_t>(done), count)
        .copy_(buffer.pinned.narrow(0, 0, count), /*non_blocking=*/true);
    buffer.copied.record(gpu_->stream);
    buffer.used = true;
    done += bytes;
  }
  measured.end.record(gpu_->stream);
}

void DeviceCopy::mark(Mark& mark) {
  if (gpu_) mark.event_->event.record(gpu_->stream);
}

void DeviceCopy::wait(Mark& mark) {
  if (gpu_) mark.event_->event.block(gpu_->stream);
}

}  // namespace step1x
