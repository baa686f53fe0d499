#include "memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "machine.hpp"
#include "settings.hpp"
#include "stand_in.hpp"

namespace stand_in {
namespace {

constexpr std::size_t kPage = std::size_t{2} << 20;

std::size_t in_pages(std::size_t bytes, std::size_t page) {
  return (std::max<std::size_t>(bytes, 1) + page - 1) / page * page;
}

struct Block {
  std::size_t bytes;
  int device;
};

// The file and its two mappings. Holes are kept so that neighbours can be joined.
struct DeviceMemory {
  DeviceMemory() {
    // Room against fragmentation; nothing of it is there before it is touched.
    span = in_pages(static_cast<std::size_t>(setting(Setting::bytes) * setting(Setting::devices)) * 4, kPage);
    fd = ::memfd_create("stand-in-device", MFD_CLOEXEC);
    if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(span)) != 0) std::abort();
    given = static_cast<char*>(::mmap(nullptr, span, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0));
    usable = static_cast<char*>(::mmap(nullptr, span, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0));
    if (given == MAP_FAILED || usable == MAP_FAILED) std::abort();
    ::madvise(usable, span, MADV_DONTDUMP);
    holes[given] = span;
  }

  std::size_t used(int device) const {
    std::size_t sum = 0;
    for (const auto& [start, block] : blocks) sum += block.device == device ? block.bytes : 0;
    return sum;
  }
  // With its context, which is not among what the process can give back.
  std::size_t held(int device) const { return used(device) + contexts.at(static_cast<std::size_t>(device)); }
  std::size_t free(int device) const {
    const auto all = static_cast<std::size_t>(setting(Setting::bytes).load());
    const auto taken = static_cast<std::size_t>(setting(Setting::taken).load());
    return all - std::min(all, held(device) + taken + held_by_others(machine_device(device)));
  }
  void tell(int device) const { hold(machine_device(device), held(device)); }
  static int machine_device(int device) {
    static const std::vector<int> visible = visible_devices();
    return visible.at(static_cast<std::size_t>(device));
  }

  std::mutex mutex;
  int fd = -1;
  std::size_t span = 0;
  char* given = nullptr;
  char* usable = nullptr;
  std::map<const char*, Block> blocks;
  std::map<char*, std::size_t> holes;
  std::array<std::size_t, kMostDevices> contexts{};
};

DeviceMemory& memory() {
  static DeviceMemory& only = *new DeviceMemory;
  return only;
}

struct Pinned {
  struct Range {
    std::size_t bytes;
    bool registered;
  };
  // The range that the address lies in.
  std::map<const char*, Range>::const_iterator find(const void* address) const {
    auto after = ranges.upper_bound(static_cast<const char*>(address));
    if (after == ranges.begin()) return ranges.end();
    --after;
    return static_cast<const char*>(address) < after->first + after->second.bytes ? after : ranges.end();
  }
  std::mutex mutex;
  std::map<const char*, Range> ranges;
};

Pinned& pinned() {
  static Pinned& only = *new Pinned;
  return only;
}

}  // namespace

void make_context(int device) {
  DeviceMemory& all = memory();
  const std::lock_guard lock(all.mutex);
  std::size_t& context = all.contexts.at(static_cast<std::size_t>(device));
  if (context > 0) return;
  context = static_cast<std::size_t>(setting(Setting::context));
  all.tell(device);
}

bool has_context(int device) {
  const std::lock_guard lock(memory().mutex);
  return memory().contexts.at(static_cast<std::size_t>(device)) > 0;
}

void* allocate(int device, std::size_t bytes) {
  DeviceMemory& all = memory();
  const std::lock_guard lock(all.mutex);
  const std::size_t size = in_pages(bytes, kPage);
  if (size > all.free(device)) return nullptr;
  // A page between two blocks, so that what runs over the end of one is seen.
  const auto hole = std::ranges::find_if(all.holes, [&](const auto& each) { return each.second >= size + kPage; });
  if (hole == all.holes.end()) return nullptr;
  char* start = hole->first;
  const std::size_t left = hole->second - size - kPage;
  all.holes.erase(hole);
  if (left > 0) all.holes[start + size + kPage] = left;
  all.blocks[start] = {size, device};
  all.tell(device);
  std::memset(all.usable + (start - all.given), 0xff, size);
  return start;
}

bool release(void* address) {
  DeviceMemory& all = memory();
  const std::lock_guard lock(all.mutex);
  const auto block = all.blocks.find(static_cast<char*>(address));
  if (block == all.blocks.end()) return false;
  char* start = static_cast<char*>(address);
  const auto [size, device] = block->second;
  ::fallocate(all.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start - all.given, static_cast<off_t>(size));
  all.blocks.erase(block);
  all.tell(device);
  auto hole = all.holes.emplace(start, size + kPage).first;
  if (const auto next = std::next(hole); next != all.holes.end() && start + hole->second == next->first) {
    hole->second += next->second;
    all.holes.erase(next);
  }
  if (hole != all.holes.begin()) {
    const auto before = std::prev(hole);
    if (before->first + before->second == start) {
      before->second += hole->second;
      all.holes.erase(hole);
    }
  }
  return true;
}

bool is_device(const void* address) {
  const DeviceMemory& all = memory();
  return address >= all.given && address < all.given + all.span;
}

bool is_allocated(const void* start, std::size_t bytes) {
  DeviceMemory& all = memory();
  const std::lock_guard lock(all.mutex);
  auto after = all.blocks.upper_bound(static_cast<const char*>(start));
  if (after == all.blocks.begin()) return false;
  --after;
  return static_cast<const char*>(start) + bytes <= after->first + after->second.bytes;
}

int device_of(const void* address) {
  DeviceMemory& all = memory();
  const std::lock_guard lock(all.mutex);
  auto after = all.blocks.upper_bound(static_cast<const char*>(address));
  return after == all.blocks.begin() ? 0 : std::prev(after)->second.device;
}

std::size_t used_bytes(int device) {
  const std::lock_guard lock(memory().mutex);
  return memory().used(device);
}

std::size_t free_bytes(int device) {
  const std::lock_guard lock(memory().mutex);
  return memory().free(device);
}

void* shadow(const void* address) {
  const DeviceMemory& all = memory();
  auto* start = static_cast<char*>(const_cast<void*>(address));
  return is_device(address) ? all.usable + (start - all.given) : start;
}

void* allocate_pinned(std::size_t bytes) {
  const std::size_t size = in_pages(bytes, 4096);
  void* start = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  const std::lock_guard lock(pinned().mutex);
  pinned().ranges[static_cast<const char*>(start)] = {size, false};
  return start;
}

bool release_pinned(void* start) {
  const std::lock_guard lock(pinned().mutex);
  const auto range = pinned().ranges.find(static_cast<const char*>(start));
  if (range == pinned().ranges.end() || range->second.registered) return false;
  ::munmap(start, range->second.bytes);
  pinned().ranges.erase(range);
  return true;
}

bool pin(const void* start, std::size_t bytes) {
  const auto* first = static_cast<const char*>(start);
  const std::lock_guard lock(pinned().mutex);
  for (const auto& [other, range] : pinned().ranges) {
    if (first < other + range.bytes && other < first + bytes) return false;
  }
  pinned().ranges[first] = {bytes, true};
  return true;
}

bool unpin(const void* start) {
  const std::lock_guard lock(pinned().mutex);
  const auto range = pinned().ranges.find(static_cast<const char*>(start));
  if (range == pinned().ranges.end() || !range->second.registered) return false;
  pinned().ranges.erase(range);
  return true;
}

bool is_pinned(const void* start, std::size_t bytes) {
  const std::lock_guard lock(pinned().mutex);
  const auto range = pinned().find(start);
  return range != pinned().ranges.end() &&
         static_cast<const char*>(start) + bytes <= range->first + range->second.bytes;
}

std::size_t pinned_bytes() {
  const std::lock_guard lock(pinned().mutex);
  std::size_t sum = 0;
  for (const auto& [start, range] : pinned().ranges) sum += range.bytes;
  return sum;
}

}  // namespace stand_in

extern "C" void* stand_in_shadow(const void* address) {
  return stand_in::shadow(address);
}
