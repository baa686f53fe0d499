// Order between streams: that the stand-in keeps it, and that the waits of DeviceCopy and BlockRing are needed. Each of
// them, left out, must be seen: otherwise a test on the stand-in would pass without it too.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "device/block_ring.hpp"
#include "device/device_copy.hpp"
#include "stand_in.hpp"
#include "support/doctest_with_torch.hpp"

using namespace step1x;

namespace {

const at::Device kFirstGpu(at::kCUDA, 0);
constexpr int kRounds = 40;

enum Wait : long long { kNone = 0, kOfDefaultStream = 1, kOfOtherStreams = 2, kHostForEvent = 4, kHostForStream = 8 };

// Random delays, and waits that are left out, while it lives.
struct Disorder {
  explicit Disorder(Wait left_out) {
    stand_in_set("delay_us", 400);
    stand_in_set("skip_waits", left_out);
  }
  Disorder(const Disorder&) = delete;
  Disorder& operator=(const Disorder&) = delete;
  ~Disorder() {
    stand_in_set("delay_us", 0);
    stand_in_set("skip_waits", kNone);
    for (const bool pool : {true, false}) {
      const c10::impl::VirtualGuardImpl guard(at::kCUDA);
      (pool ? guard.getStreamFromGlobalPool(kFirstGpu) : guard.getStream(kFirstGpu)).synchronize();
    }
  }
};

std::vector<std::vector<std::byte>> make_blocks(std::size_t count, std::size_t bytes) {
  std::vector<std::vector<std::byte>> blocks;
  for (std::size_t i = 0; i < count; ++i) blocks.emplace_back(bytes, static_cast<std::byte>(i + 1));
  return blocks;
}

// Each block's bytes times their place, over several passes. False: not what they should be.
bool ring_is_right(Wait left_out) {
  const c10::InferenceMode no_gradients;
  const auto owner = std::make_shared<std::vector<std::vector<std::byte>>>(make_blocks(5, 4096));
  std::vector<std::span<const std::byte>> blocks;
  for (const auto& block : *owner) blocks.emplace_back(block);
  at::Tensor sum = at::zeros({4096}, at::TensorOptions(at::kInt).device(kFirstGpu));
  std::int64_t expected = 0;
  {
    const DeviceMemory memory(kFirstGpu);
    const auto ring = std::make_shared<BlockRing>(memory, blocks, 2, owner);
    const Disorder disorder(left_out);
    for (int pass = 0; pass < 3; ++pass) {
      for (std::size_t i = 0; i < blocks.size(); ++i) {
        const StreamedBlock block{ring, i};
        const BlockInUse in_use(block);
        for (int twice = 0; twice < 2; ++twice) sum = sum * 2 + ring->memory(i).to(at::kInt);
        for (int twice = 0; twice < 2; ++twice)
          expected =
              static_cast<std::int32_t>(static_cast<std::uint32_t>(expected) * 2 + static_cast<std::uint32_t>(i + 1));
      }
    }
    c10::impl::VirtualGuardImpl(at::kCUDA).getStream(kFirstGpu).synchronize();
  }
  return sum.eq(expected).all().item<bool>();
}

// Copies that are longer than all buffers together, from memory that is not pinned.
bool copy_is_right(Wait left_out) {
  constexpr std::size_t kBytes = std::size_t{170} << 20;
  static const std::vector<std::byte> source = [] {
    std::vector<std::byte> bytes(kBytes);
    for (std::size_t i = 0; i < kBytes; ++i) bytes[i] = static_cast<std::byte>(i >> 20);
    return bytes;
  }();
  const at::Tensor to = at::empty({static_cast<std::int64_t>(kBytes)}, at::TensorOptions(at::kByte).device(kFirstGpu));
  {
    DeviceCopy copies{DeviceMemory(kFirstGpu)};
    const Disorder disorder(left_out);
    stand_in_set("delay_us", 20'000);
    copies.copy(source, to);
  }
  const at::Tensor found = to.cpu();
  return std::memcmp(found.const_data_ptr(), source.data(), kBytes) == 0;
}

// What is copied is computed with as soon as the copy's object is gone.
bool end_is_right(Wait left_out) {
  const std::vector<std::byte> source(4096, std::byte{7});
  const at::Tensor to = at::zeros({4096}, at::TensorOptions(at::kByte).device(kFirstGpu));
  to.cpu();
  const Disorder disorder(left_out);
  stand_in_set("delay_us", 4000);
  {
    DeviceCopy copies{DeviceMemory(kFirstGpu)};
    copies.copy(source, to);
  }
  return to.eq(7).all().item<bool>();
}

// Memory that a queued operator still reads is copied to.
bool beginning_is_right(Wait left_out) {
  const c10::InferenceMode no_gradients;
  const std::vector<std::byte> source(4096, std::byte{7});
  const at::Tensor memory = at::ones({4096}, at::TensorOptions(at::kByte).device(kFirstGpu));
  const Disorder disorder(left_out);
  const at::Tensor before = memory.add(1).add(1);
  const at::Tensor read = memory.clone();
  {
    DeviceCopy copies{DeviceMemory(kFirstGpu)};
    copies.copy(source, memory);
  }
  return read.eq(1).all().item<bool>() && before.eq(3).all().item<bool>();
}

int wrong(const std::function<bool(Wait)>& experiment, Wait left_out, int rounds = kRounds) {
  int count = 0;
  for (int i = 0; i < rounds && count == 0; ++i) count += experiment(left_out) ? 0 : 1;
  return count;
}

}  // namespace

TEST_CASE("with all their waits copies and the ring of blocks are right whatever is late") {
  CHECK(wrong(ring_is_right, kNone, 10) == 0);
  CHECK(wrong(copy_is_right, kNone, 2) == 0);
  CHECK(wrong(end_is_right, kNone, 10) == 0);
  CHECK(wrong(beginning_is_right, kNone, 10) == 0);
}

TEST_CASE("each wait that is left out is seen") {
  // BlockRing: the computation for a block that is ready; the copy for a slot that was used.
  CHECK(wrong(ring_is_right, kOfDefaultStream) > 0);
  CHECK(wrong(ring_is_right, kOfOtherStreams) > 0);
  // DeviceCopy: the host for a buffer; its destructor for all copies; its constructor for what was asked for before.
  CHECK(wrong(copy_is_right, kHostForEvent, 5) > 0);
  CHECK(wrong(end_is_right, kHostForStream) > 0);
  CHECK(wrong(beginning_is_right, kOfOtherStreams) > 0);
}

TEST_CASE("memory that is not pinned is copied by several threads") {
  const auto tasks = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator());
  };
  const std::vector<std::byte> source(std::size_t{1} << 20);
  const at::Tensor to = at::empty({1 << 20}, at::TensorOptions(at::kByte).device(kFirstGpu));
  DeviceCopy copies{DeviceMemory(kFirstGpu)};
  const auto before = tasks();
  copies.copy(source, to);
  CHECK(tasks() == before + std::clamp<std::ptrdiff_t>(std::thread::hardware_concurrency(), 1, 8));
}

TEST_CASE("memory that another stream uses is kept for it by record_stream alone") {
  const c10::InferenceMode no_gradients;
  const c10::impl::VirtualGuardImpl guard(at::kCUDA);
  const auto options = at::TensorOptions(at::kFloat).device(kFirstGpu);
  for (const bool recorded : {true, false}) {
    int bad = 0;
    for (int round = 0; round < 10; ++round) {
      const c10::Stream other = guard.getStreamFromGlobalPool(kFirstGpu);
      at::Tensor result;
      {
        const at::Tensor input = at::ones({1000}, options);
        guard.getStream(kFirstGpu).synchronize();
        stand_in_set("delay_us", 2000);
        const c10::StreamGuard on(other);
        for (int i = 0; i < 3; ++i) result = input.add(i);
        if (recorded) input.record_stream(other);
      }
      const at::Tensor next = at::zeros({1000}, options);
      other.synchronize();
      stand_in_set("delay_us", 0);
      bad += result.eq(3).all().item<bool>() ? 0 : 1;
    }
    CAPTURE(recorded);
    CHECK((bad > 0) == !recorded);
  }
}
