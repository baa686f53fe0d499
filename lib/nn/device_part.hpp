// One part of a model brought from the host arena to a device: whole, or with blocks that take turns. The tensors keep
// their memory; when the last of them is gone, so is the memory.
//
// Errors: Error(out_of_memory) and what `copied`, called after each block, throws. Main thread of an engine only.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "device/device_memory.hpp"
#include "memory/planner.hpp"
#include "nn/placement.hpp"

namespace step1x {

// Runs of consecutive blocks that are used one after the other, by their numbers: the layers of the text encoder and of
// its vision tower, the modulations of the transformer's blocks, those blocks.
using BlockRuns = std::vector<std::vector<std::size_t>>;
BlockRuns block_runs(const Placement& placement);

// What the planner wants to know.
PartSize part_size(const Placement& placement);

struct HostPart {
  const Placement* placement;
  std::span<const std::byte> bytes;   // as the placement lays it out
  std::shared_ptr<const void> owner;  // of those bytes
  std::string origin;                 // for messages
};

// Everything at once, to `bytes` of the memory that are there (as long as the placement), or to some of its own.
void copy_whole(const HostPart& part, const DeviceMemory& memory, const at::Tensor& bytes,
                const Placement::BlockHook& copied = {});
Weights place_whole(const HostPart& part, const DeviceMemory& memory, const Placement::BlockHook& copied = {});

// `plans` has one for each of block_runs(). `point` goes to the rings.
Weights place_streamed(const HostPart& part, const std::vector<RunPlan>& plans, const DeviceMemory& memory,
                       const Placement::BlockHook& copied = {}, const BlockRing::Point& point = {});

}  // namespace step1x
