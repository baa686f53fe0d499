// Byte pair encoding of one piece of text: bytes become ids, then the neighbouring pair whose merge has the lowest rank
// is joined (the leftmost first among equals), until no pair has a merge. Const after construction, so safe on any
// thread.
#pragma once

#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace step1x {

class BpeModel {
 public:
  using Id = std::int32_t;

  // Ids of the 256 bytes.
  explicit BpeModel(const std::array<Id, 256>& byte_ids) : byte_ids_(byte_ids) {}

  void reserve(std::size_t merges) { merges_.reserve(merges); }
  // Merges are added in the order of their rank. A pair that was added before keeps its rank.
  void add_merge(Id left, Id right, Id joined);

  // Appends the ids of `bytes`. O(n log n) in the piece's length.
  void encode(std::string_view bytes, std::vector<Id>& out) const;
  // What they were made of; ids that are none of this model's are left out. It looks through all merges.
  std::string decode(std::span<const Id> ids) const;

 private:
  struct Merge {
    std::uint32_t rank;
    Id joined;
  };
  static std::uint64_t key(Id left, Id right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }

  std::array<Id, 256> byte_ids_;
  boost::unordered_flat_map<std::uint64_t, Merge> merges_;
};

}  // namespace step1x
