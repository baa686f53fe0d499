// The host arena: the weights of one model in a memfd. The worker makes it and keeps it while engines come and go, one
// engine fills it, all engines map it read-only (lib/README.md, Memory). Here is what both sides do with the file
// itself; what lies where in it is lib/model's matter.
//
// Anything that came from another process is checked before it is mapped: without the seals against a change of size a
// reader could die of SIGBUS. Errors: Error(out_of_memory) where there is no memory, Error(protocol) for a descriptor
// that is no arena.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/fd.hpp"

namespace step1x {

// Ranges of an arena begin at multiples of this, so that each can be in huge pages of its own.
inline constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;

// How much of an arena is best prepared in one call, which takes milliseconds however little it is: the kernel has
// every processor let go of the pages that it holds back.
inline constexpr std::uint64_t kPreparedAtOnce = 32 * kHugePage;

// Of exactly this size for ever, without a page until it is written.
UniqueFd create_arena(std::uint64_t bytes);

// From now on nobody can map it for writing, or write to it. Mappings that are there stay.
void seal_arena(int fd);

// A mapping of a whole arena. Move-only; reading from any number of threads, filling from any number of threads that
// keep to ranges of their own.
class ArenaMapping {
 public:
  enum class Access { fill, read };

  ArenaMapping(int fd, std::uint64_t bytes, Access access);
  ArenaMapping(const ArenaMapping&) = delete;
  ArenaMapping& operator=(const ArenaMapping&) = delete;
  ~ArenaMapping();

  std::span<const std::byte> bytes() const { return {start_, size_}; }
  // REQUIRES: Access::fill
  std::span<std::byte> writable() { return {start_, size_}; }
  // Puts the whole huge pages of a range in place before it is filled, which makes filling, mapping and freeing several
  // times faster; says how many bytes came to lie in them. Where the kernel has none to give that is 0, and no error.
  // REQUIRES: Access::fill
  std::uint64_t prepare(std::uint64_t offset, std::uint64_t bytes);

 private:
  void* reserved_ = nullptr;  // a huge page more than the arena, which begins at start_
  std::byte* start_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace step1x
