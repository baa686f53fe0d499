// Where the tensors of one part of a model lie in a range of memory, be it a host arena or a device's: in the order of
// the load table, which is the order of use, each block of the model in one piece. And how they get there from a
// checkpoint. Const after construction; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nn/weights.hpp"

namespace step1x {

class Placement {
 public:
  // Every tensor in this type. REQUIRES: `table` outlives the placement.
  Placement(const LoadTable& table, at::ScalarType type);

  // Consecutive tensors whose names agree up to their first number ("double_blocks.3"). One of at least a huge page
  // begins at a multiple of a huge page.
  struct Block {
    std::uint64_t offset = 0;  // from where the placement begins
    std::uint64_t bytes = 0;
    std::size_t first_tensor = 0;
    std::size_t tensors = 0;
    std::string_view name;  // "double_blocks.3", or empty
  };
  const std::vector<Block>& blocks() const { return blocks_; }
  // Of the whole range, a multiple of a huge page.
  std::uint64_t bytes() const { return bytes_; }
  // Of the tensors alone.
  std::uint64_t tensor_bytes() const { return tensor_bytes_; }

  using BlockHook = std::function<void(const Block&)>;
  struct Hooks {
    // Before this range, from where the placement begins, is written to for the first time. From the threads that read,
    // several at a time.
    std::function<void(std::uint64_t offset, std::uint64_t bytes)> prepare;
    // From the calling thread, in order, as each block is complete.
    BlockHook filled;
    // From the calling thread every now and then, with the bytes since the last time.
    LoadHook loaded;
  };
  // Whether files go through the page cache or past it (weights/direct_read.hpp).
  enum class Cache { use, bypass };
  // Reads `count` blocks from `first` on, on several threads; `out` is where block `first` begins. What a hook throws
  // ends it. REQUIRES: the checkpoint passed check_weights().
  void fill(const Checkpoint& checkpoint, std::size_t first, std::size_t count, std::byte* out, const Hooks& hooks,
            Cache cache = Cache::use) const;

  // Where a block is: its bytes, of type uint8, on whatever device; and in which ring, if it is streamed.
  struct Place {
    at::Tensor memory;
    StreamedBlock streamed;
  };
  // The tensors in these places, one for each block. They share the memory.
  Weights weights(const std::vector<Place>& places, std::string origin) const;
  // All of them in one range of bytes().
  Weights weights(const at::Tensor& memory, std::string origin) const;

 private:
  struct Chunk;
  class Preparation;
  std::vector<Chunk> chunks(const Checkpoint& checkpoint, std::size_t first, std::size_t count) const;

  const LoadTable* table_;
  at::ScalarType type_;
  std::vector<std::uint64_t> offsets_;  // by tensor
  std::vector<Block> blocks_;
  std::uint64_t bytes_ = 0;
  std::uint64_t tensor_bytes_ = 0;
};

}  // namespace step1x
