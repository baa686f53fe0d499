#include <ATen/ops/empty.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "device/block_ring.hpp"
#include "support/delays.hpp"
// clang-format off: after libtorch
#include "support/doctest_with_torch.hpp"
// clang-format on

using namespace step1x;
using step1x::test::delays;

namespace {

// Every byte of block i is i, but its length differs.
struct Model {
  explicit Model(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      bytes.emplace_back(5000 + 700 * (i % 3), static_cast<std::byte>(i + 1));
    }
    for (const auto& block : bytes) spans.emplace_back(block);
  }
  std::vector<std::vector<std::byte>> bytes;
  std::vector<std::span<const std::byte>> spans;
};

bool is_block(const BlockRing& ring, std::size_t block, const Model& model) {
  const at::Tensor memory = ring.memory(block);
  return memory.numel() == static_cast<std::int64_t>(model.bytes[block].size()) &&
         std::memcmp(memory.const_data_ptr(), model.bytes[block].data(), model.bytes[block].size()) == 0;
}

}  // namespace

TEST_CASE("whatever is late, a block in use holds its own bytes") {
  const DeviceMemory memory = DeviceMemory::simulate(1 << 20);
  for (unsigned seed = 0; seed < 200; ++seed) {
    const std::size_t count = 1 + seed % 9;
    const std::size_t slots = 1 + seed % 4;
    const Model model(count);
    BlockRing ring(memory, model.spans, slots, nullptr, delays(seed));
    bool right = true;
    for (int pass = 0; pass < 4; ++pass) {
      for (std::size_t block = 0; block < count; ++block) {
        ring.acquire(block);
        right = right && is_block(ring, block, model);
        delays(seed + 1)("use");
        right = right && is_block(ring, block, model);
        ring.release(block);
      }
    }
    CAPTURE(seed);
    CHECK(right);
  }
  CHECK(memory.counters().allocated_bytes == 0);
}

TEST_CASE("any order works, also after a pass that was broken off") {
  const DeviceMemory memory = DeviceMemory::simulate(1 << 20);
  const Model model(7);
  BlockRing ring(memory, model.spans, 3, nullptr, delays(7));
  std::minstd_rand random(11);
  for (int i = 0; i < 300; ++i) {
    const std::size_t block = random() % 7;
    ring.acquire(block);
    REQUIRE(is_block(ring, block, model));
    ring.release(block);
  }
}

TEST_CASE("what comes next is on its way before it is asked for") {
  const DeviceMemory memory = DeviceMemory::simulate(1 << 20);
  const Model model(6);
  std::atomic<int> copied{0};
  BlockRing ring(memory, model.spans, 3, nullptr, [&](const char* where) {
    if (std::string_view(where) == "copied") ++copied;
  });
  const auto until = [&](int count) {
    for (int i = 0; copied < count && i < 10'000; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return copied.load();
  };
  CHECK(until(3) == 3);
  ring.acquire(0);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(copied == 3);  // the others are not used yet, and this one is in use
  ring.release(0);
  CHECK(until(4) == 4);
}

TEST_CASE("blocks that all have slots are copied once") {
  const DeviceMemory memory = DeviceMemory::simulate(1 << 20);
  const Model model(3);
  std::atomic<int> copied{0};
  BlockRing ring(memory, model.spans, 8, nullptr, [&](const char* where) {
    if (std::string_view(where) == "copied") ++copied;
  });
  for (int i = 0; i < 9; ++i) {
    ring.acquire(static_cast<std::size_t>(i % 3));
    ring.release(static_cast<std::size_t>(i % 3));
  }
  CHECK(copied == 3);
}

TEST_CASE("a ring that does not fit says so, and leaves nothing") {
  const DeviceMemory memory = DeviceMemory::simulate(10'000);
  const Model model(4);
  CHECK_THROWS_AS(BlockRing(memory, model.spans, 3, nullptr), Error);
  CHECK(memory.counters().allocated_bytes == 0);
}

TEST_CASE("a ring can end while it fills") {
  const DeviceMemory memory = DeviceMemory::simulate(1 << 20);
  const Model model(9);
  for (int i = 0; i < 50; ++i) BlockRing(memory, model.spans, 4, nullptr, delays(static_cast<unsigned>(i)));
  CHECK(memory.counters().allocated_bytes == 0);
}
