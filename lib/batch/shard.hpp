// Which part of a batch this process does: of `count` parts the one with the number `index`, from 1. An item belongs to
// a part by the hash of its key, so that adding items moves none. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace step1x::batch {

struct Shard {
  int index = 1;
  int count = 1;
  bool operator==(const Shard&) const = default;
};

// "2/5". Throws Error(usage) naming `what`.
Shard parse_shard(const std::string& text, std::string_view what);

bool belongs(std::string_view key, const Shard& shard);

}  // namespace step1x::batch
