#include "nn/placement.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <vector>

#include "base/error.hpp"
#include "support/doctest_with_torch.hpp"
#include "support/temp_dir.hpp"
#include "weights/support.hpp"

using namespace step1x;
using step1x::test::TempDir;

namespace {

constexpr std::int64_t kElements = 13'000'000;  // of a block
constexpr std::size_t kPage = 4096;
constexpr std::byte kUntouched{0xFF};

// Three blocks of zeros that take no room on the disk.
Checkpoint three_blocks(const TempDir& dir) {
  const auto path = dir.path() / "w.safetensors";
  const std::string header =
      fmt::format(R"({{"w":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{}]}}}})", kElements, kElements * 4);
  std::ofstream(path, std::ios::binary) << test::safetensors_bytes(header, "");
  std::filesystem::resize_file(path, 8 + header.size() + kElements * 4);
  return Checkpoint(path);
}

const LoadTable& table() {
  static const LoadTable table{whole_tensor("blocks.0.w", {kElements}, "w"),
                               whole_tensor("blocks.1.w", {kElements}, "w"),
                               whole_tensor("blocks.2.w", {kElements}, "w")};
  return table;
}

}  // namespace

TEST_CASE("all of the memory is prepared, each part once and before anything is written to it") {
  const TempDir dir;
  const Checkpoint checkpoint = three_blocks(dir);
  const Placement placement(table(), at::kFloat);
  REQUIRE(placement.blocks().size() == 3);
  std::vector<std::byte> memory(placement.bytes(), kUntouched);
  std::mutex mutex;  // guards the two below
  std::map<std::uint64_t, std::uint64_t> prepared;
  bool untouched = true;
  Placement::Hooks hooks;
  hooks.prepare = [&](std::uint64_t offset, std::uint64_t bytes) {
    const std::lock_guard lock(mutex);
    CHECK(prepared.emplace(offset, bytes).second);
    for (std::uint64_t at = offset; at < offset + bytes; at += kPage) untouched &= memory.at(at) == kUntouched;
  };
  placement.fill(checkpoint, 0, 3, memory.data(), hooks);
  CHECK(untouched);
  std::uint64_t end = 0;
  for (const auto& [offset, bytes] : prepared) {
    CHECK(offset == end);
    end = offset + bytes;
  }
  CHECK(end == placement.bytes());
  CHECK(prepared.size() > 1);
  for (const Placement::Block& block : placement.blocks()) {
    const auto start = memory.begin() + static_cast<std::ptrdiff_t>(block.offset);
    CHECK(std::all_of(start, start + kElements * 4, [](std::byte byte) { return byte == std::byte{0}; }));
  }
}

TEST_CASE("some of the blocks are prepared up to where the next one begins") {
  const TempDir dir;
  const Checkpoint checkpoint = three_blocks(dir);
  const Placement placement(table(), at::kFloat);
  const auto& blocks = placement.blocks();
  std::vector<std::byte> memory(blocks[1].bytes);
  std::uint64_t begin = placement.bytes();
  std::uint64_t end = 0;
  Placement::Hooks hooks;
  hooks.prepare = [&](std::uint64_t offset, std::uint64_t bytes) {
    begin = std::min(begin, offset);
    end = std::max(end, offset + bytes);
  };
  placement.fill(checkpoint, 1, 1, memory.data(), hooks);
  CHECK(begin == blocks[1].offset);
  CHECK(end == blocks[2].offset);
}

TEST_CASE("what prepares the memory can end it") {
  const TempDir dir;
  const Checkpoint checkpoint = three_blocks(dir);
  const Placement placement(table(), at::kFloat);
  std::vector<std::byte> memory(placement.bytes());
  Placement::Hooks hooks;
  hooks.prepare = [](std::uint64_t, std::uint64_t) { throw Error(ErrorCode::out_of_memory, "no memory"); };
  CHECK_THROWS_WITH_AS(placement.fill(checkpoint, 0, 3, memory.data(), hooks), "no memory", Error);
}
