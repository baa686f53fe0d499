#include "nn/device_part.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "device/device_copy.hpp"
#include "memory/alignment.hpp"

namespace step1x {

namespace {

// As Weights names them.
constexpr std::array<std::string_view, 4> kStreamed{"visual.blocks.", "text.layers.", "double_blocks.",
                                                    "single_blocks."};

bool is_streamed(const Placement::Block& block) {
  return std::ranges::any_of(kStreamed, [&](std::string_view prefix) { return block.name.starts_with(prefix); });
}

std::span<const std::byte> bytes_of(const HostPart& part, const Placement::Block& block) {
  return part.bytes.subspan(block.offset, block.bytes);
}

at::Tensor narrow(const at::Tensor& bytes, std::uint64_t offset, std::uint64_t count) {
  return bytes.narrow(0, static_cast<std::int64_t>(offset), static_cast<std::int64_t>(count));
}

std::uint64_t aligned(std::uint64_t bytes) {
  return align_up(bytes, kTensorAlignment);
}

}  // namespace

BlockRuns block_runs(const Placement& placement) {
  BlockRuns runs;
  bool inside = false;
  for (std::size_t i = 0; i < placement.blocks().size(); ++i) {
    const bool streamed = is_streamed(placement.blocks()[i]);
    if (streamed && !inside) runs.emplace_back();
    if (streamed) runs.back().push_back(i);
    inside = streamed;
  }
  return runs;
}

PartSize part_size(const Placement& placement) {
  PartSize size;
  for (const auto& run : block_runs(placement)) {
    std::vector<std::uint64_t>& sizes = size.runs.emplace_back();
    for (const std::size_t block : run) sizes.push_back(aligned(placement.blocks()[block].bytes));
  }
  for (const Placement::Block& block : placement.blocks()) size.fixed += is_streamed(block) ? 0 : aligned(block.bytes);
  size.padding = placement.bytes() - size.whole();
  return size;
}

void copy_whole(const HostPart& part, const DeviceMemory& memory, const at::Tensor& bytes,
                const Placement::BlockHook& copied) {
  const std::vector<Placement::Block>& blocks = part.placement->blocks();
  {
    DeviceCopy copies(memory);
    for (const Placement::Block& block : blocks) {
      copies.copy(bytes_of(part, block), narrow(bytes, block.offset, block.bytes));
      if (copied && &block != &blocks.back()) copied(block);
    }
  }
  // Copies may have been asked for only. Who is told of the last one can rely on all of them.
  if (copied && !blocks.empty()) copied(blocks.back());
}

Weights place_whole(const HostPart& part, const DeviceMemory& memory, const Placement::BlockHook& copied) {
  const at::Tensor bytes = memory.allocate(part.placement->bytes());
  copy_whole(part, memory, bytes, copied);
  return part.placement->weights(bytes, part.origin);
}

Weights place_streamed(const HostPart& part, const std::vector<RunPlan>& plans, const DeviceMemory& memory,
                       const Placement::BlockHook& copied, const BlockRing::Point& point) {
  const std::vector<Placement::Block>& blocks = part.placement->blocks();
  const BlockRuns runs = block_runs(*part.placement);
  std::vector<bool> moves(blocks.size(), false);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    for (std::size_t at = plans.at(i).kept; at < runs[i].size(); ++at) moves[runs[i][at]] = true;
  }
  std::uint64_t staying = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) staying += moves[i] ? 0 : aligned(blocks[i].bytes);

  std::vector<Placement::Place> places(blocks.size());
  const at::Tensor fixed = memory.allocate(std::max<std::uint64_t>(staying, 1));
  DeviceCopy copies(memory);
  std::uint64_t offset = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (moves[i]) continue;
    places[i].memory = narrow(fixed, offset, blocks[i].bytes);
    copies.copy(bytes_of(part, blocks[i]), places[i].memory);
    if (copied) copied(blocks[i]);
    offset += aligned(blocks[i].bytes);
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::span<const std::size_t> moving = std::span(runs[i]).subspan(plans[i].kept);
    if (moving.empty()) continue;
    std::vector<std::span<const std::byte>> sources;
    for (const std::size_t block : moving) sources.push_back(bytes_of(part, blocks[block]));
    const auto ring = std::make_shared<BlockRing>(memory, std::move(sources), plans[i].slots, part.owner, point);
    for (std::size_t at = 0; at < moving.size(); ++at) places[moving[at]] = {ring->memory(at), {ring, at}};
  }
  return part.placement->weights(places, part.origin);
}

}  // namespace step1x
