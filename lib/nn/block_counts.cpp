#include "nn/block_counts.hpp"

#include <set>

#include "base/error.hpp"

namespace step1x {

namespace {

// How many different numbers follow `prefix` in the names of tensors.
std::int64_t blocks_in(const Checkpoint& checkpoint, const std::string& prefix) {
  std::set<std::string_view> numbers;
  for (auto at = checkpoint.tensors().lower_bound(prefix); at != checkpoint.tensors().end(); ++at) {
    const std::string_view name = at->first;
    if (!name.starts_with(prefix)) break;
    const std::size_t end = name.find('.', prefix.size());
    const std::string_view number = name.substr(prefix.size(), end - prefix.size());
    if (number.find_first_not_of("0123456789") == std::string_view::npos) numbers.insert(number);
  }
  return std::ssize(numbers);
}

}  // namespace

void check_counts(const Checkpoint& checkpoint, const std::filesystem::path& config,
                  std::span<const BlockCount> counts) {
  for (const BlockCount& each : counts) {
    const std::int64_t found = blocks_in(checkpoint, each.prefix);
    if (found == each.count) continue;
    throw Error::format(ErrorCode::model_missing, "{}: '{}' makes it {} blocks {}N, and {} has {}",
                        config.empty() ? "the released model" : config.string(), each.key, each.count, each.prefix,
                        checkpoint.path().string(), found);
  }
}

}  // namespace step1x
