#include "text/bpe.hpp"

#include <queue>

namespace step1x {

namespace {

// A piece's symbols as a doubly linked list in one array; a joined symbol stays in the place of its left part.
struct Symbol {
  BpeModel::Id id;
  int previous;
  int next;
  bool gone = false;
};

struct Candidate {
  std::uint32_t rank;
  int left;
  BpeModel::Id left_id;  // as they were when this was queued; a candidate whose symbols have changed since is stale
  BpeModel::Id right_id;

  bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : left > other.left; }
};

}  // namespace

void BpeModel::add_merge(Id left, Id right, Id joined) {
  const auto rank = static_cast<std::uint32_t>(merges_.size());
  merges_.try_emplace(key(left, right), Merge{rank, joined});
}

void BpeModel::encode(std::string_view bytes, std::vector<Id>& out) const {
  std::vector<Symbol> symbols;
  symbols.reserve(bytes.size());
  for (const char c : bytes) {
    const int i = static_cast<int>(symbols.size());
    symbols.push_back({byte_ids_[static_cast<unsigned char>(c)], i - 1, i + 1});
  }
  if (symbols.empty()) return;
  symbols.back().next = -1;

  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](int left) {
    if (left < 0 || symbols[left].next < 0) return;
    const Id left_id = symbols[left].id;
    const Id right_id = symbols[symbols[left].next].id;
    if (const auto found = merges_.find(key(left_id, right_id)); found != merges_.end()) {
      queue.push({found->second.rank, left, left_id, right_id});
    }
  };
  for (int i = 0; i + 1 < static_cast<int>(symbols.size()); ++i) consider(i);

  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.left];
    if (left.gone || left.next < 0 || left.id != best.left_id || symbols[left.next].id != best.right_id) continue;
    Symbol& right = symbols[left.next];
    left.id = merges_.find(key(best.left_id, best.right_id))->second.joined;
    left.next = right.next;
    right.gone = true;
    if (left.next >= 0) symbols[left.next].previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
  for (int i = 0; i >= 0; i = symbols[i].next) out.push_back(symbols[i].id);
}

std::string BpeModel::decode(std::span<const Id> ids) const {
  // A merge may be written with an id that is its own part's: no token of Qwen's comes near so many bytes.
  constexpr std::size_t kLongestToken = 4096;
  boost::unordered_flat_map<Id, std::uint64_t> pairs;
  pairs.reserve(merges_.size());
  for (const auto& [pair, merge] : merges_) pairs.try_emplace(merge.joined, pair);
  boost::unordered_flat_map<Id, char> bytes;
  for (std::size_t byte = 0; byte < byte_ids_.size(); ++byte)
    bytes.try_emplace(byte_ids_[byte], static_cast<char>(static_cast<unsigned char>(byte)));

  std::string text;
  std::vector<Id> open;  // parts of a token that are not written yet, the next one last
  for (const Id id : ids) {
    open.assign(1, id);
    for (std::size_t turns = 0; !open.empty() && turns < kLongestToken; ++turns) {
      const Id part = open.back();
      open.pop_back();
      if (const auto byte = bytes.find(part); byte != bytes.end()) {
        text += byte->second;
      } else if (const auto pair = pairs.find(part); pair != pairs.end()) {
        open.push_back(static_cast<Id>(static_cast<std::uint32_t>(pair->second)));
        open.push_back(static_cast<Id>(static_cast<std::uint32_t>(pair->second >> 32)));
      }
    }
  }
  return text;
}

}  // namespace step1x
