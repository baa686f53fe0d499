#include "memory/device_copy.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "memory/host_registration.hpp"

namespace step1x {

namespace {

// Two would do where both ends are equally fast; the others even out what the processor is late.
constexpr std::size_t kBuffers = 4;
constexpr std::size_t kBufferBytes = std::size_t{32} << 20;
constexpr std::int64_t kGrain = std::int64_t{1} << 20;

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

  explicit Gpu(at::Device device)
      : stream(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device)),
        buffers(pinned_buffers(device)) {}

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

  c10::Stream stream;
  std::vector<Buffer> buffers;
  std::size_t next = 0;
};

DeviceCopy::DeviceCopy(at::Device device) {
  if (device.is_cpu()) return;
  gpu_ = std::make_unique<Gpu>(device);
  Mark now(device);
  now.set();
  wait(now);
}

DeviceCopy::~DeviceCopy() {
  try {
    if (gpu_) gpu_->stream.synchronize();
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
  for (std::size_t done = 0; done < from.size();) {
    const auto piece =
        from.subspan(done, std::min(from.size() - done, HostRegistration::piece_left(from.data() + done)));
    if (gpu_->buffers.empty() || is_pinned(piece)) {
      to.narrow(0, static_cast<std::int64_t>(done), static_cast<std::int64_t>(piece.size()))
          .copy_(tensor_of(piece), /*non_blocking=*/true);
      done += piece.size();
      continue;
    }
    Gpu::Buffer& buffer = gpu_->buffers[gpu_->next++ % kBuffers];
    if (buffer.used) buffer.copied.synchronize();
    const std::size_t bytes = std::min(kBufferBytes, piece.size());
    // One thread does not reach the speed of the bus.
    auto* pinned = static_cast<std::byte*>(buffer.pinned.mutable_data_ptr());
    at::parallel_for(0, static_cast<std::int64_t>(bytes), kGrain, [&](std::int64_t begin, std::int64_t end) {
      std::memcpy(pinned + begin, from.data() + done + begin, static_cast<std::size_t>(end - begin));
    });
    const auto count = static_cast<std::int64_t>(bytes);
    to.narrow(0, static_cast<std::int64_t>(done), count)
        .copy_(buffer.pinned.narrow(0, 0, count), /*non_blocking=*/true);
    buffer.copied.record(gpu_->stream);
    buffer.used = true;
    done += bytes;
  }
}

void DeviceCopy::mark(Mark& mark) {
  if (gpu_) mark.event_->event.record(gpu_->stream);
}

void DeviceCopy::wait(Mark& mark) {
  if (gpu_) mark.event_->event.block(gpu_->stream);
}

}  // namespace step1x
