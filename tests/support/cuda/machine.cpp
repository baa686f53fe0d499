#include "machine.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>

#include "settings.hpp"

namespace stand_in {
namespace {

constexpr int kMostProcesses = 64;

struct Entry {
  std::atomic<unsigned> pid;
  std::array<std::atomic<std::size_t>, kMostDevices> bytes;
};

// An entry counts as long as its process has the lock of the byte at its place, which the kernel takes from it the
// moment that it dies. The lock is that of an open file, so that it outlives whatever else the process does with it.
class Machine {
 public:
  Machine() {
    const char* folder = std::getenv("STAND_IN_MACHINE");
    if (folder == nullptr) return;
    fd_ = ::open((std::string(folder) + "/memory").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    constexpr std::size_t kBytes = sizeof(Entry) * kMostProcesses;
    if (fd_ < 0 || ::ftruncate(fd_, kBytes) != 0) std::abort();
    void* start = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (start == MAP_FAILED) std::abort();
    entries_ = static_cast<Entry*>(start);
  }

  bool is_shared() const { return entries_ != nullptr; }
  Entry& own() {
    static Entry& entry = take();
    return entry;
  }
  std::vector<Holder> holders(int device) const {
    std::vector<Holder> result;
    for (int i = 0; is_shared() && i < kMostProcesses; ++i) {
      const Entry& entry = entries_[i];
      const std::size_t bytes = entry.bytes[static_cast<std::size_t>(device)];
      const bool mine = entry.pid == static_cast<unsigned>(::getpid());
      if (bytes > 0 && (mine || lock(F_OFD_GETLK, i))) result.push_back({entry.pid, bytes});
    }
    return result;
  }

 private:
  // Of F_OFD_GETLK: whether another has it.
  bool lock(int command, int place) const {
    struct flock range{};
    range.l_type = F_WRLCK;
    range.l_whence = SEEK_SET;
    range.l_start = place;
    range.l_len = 1;
    const bool done = ::fcntl(fd_, command, &range) == 0;
    return done && (command == F_OFD_SETLK || range.l_type != F_UNLCK);
  }
  Entry& take() {
    for (int i = 0; i < kMostProcesses; ++i) {
      if (!lock(F_OFD_SETLK, i)) continue;
      for (auto& bytes : entries_[i].bytes) bytes = 0;
      entries_[i].pid = static_cast<unsigned>(::getpid());
      return entries_[i];
    }
    std::abort();
  }

  int fd_ = -1;
  Entry* entries_ = nullptr;
};

Machine& machine() {
  static Machine& only = *new Machine;
  return only;
}

}  // namespace

// As far as our tests need it: numbers and our own UUIDs.
std::vector<int> visible_devices() {
  const int all = static_cast<int>(setting(Setting::devices));
  std::vector<int> devices;
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  for (int i = 0; visible == nullptr && i < all; ++i) devices.push_back(i);
  for (std::string rest = visible == nullptr ? "" : visible; !rest.empty();) {
    const auto comma = rest.find(',');
    const std::string name = rest.substr(0, comma);
    const auto digits = name.find_last_not_of("0123456789");
    const std::string number = digits == std::string::npos ? name : name.substr(digits + 1);
    const int device = number.empty() || name.starts_with('-') ? all : std::atoi(number.c_str());
    if (device >= all) break;
    devices.push_back(device);
    rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
  }
  return devices;
}

std::string uuid_of(int device) {
  const char* prefix = std::getenv("STAND_IN_UUID");
  return (prefix == nullptr ? "GPU-standin" : prefix) + ("-" + std::to_string(device));
}

bool is_shared() {
  return machine().is_shared();
}

void hold(int device, std::size_t bytes) {
  if (is_shared()) machine().own().bytes[static_cast<std::size_t>(device)] = bytes;
}

std::vector<Holder> holders(int device) {
  return machine().holders(device);
}

std::size_t held_by_others(int device) {
  std::size_t sum = 0;
  for (const Holder& holder : holders(device))
    sum += holder.pid == static_cast<unsigned>(::getpid()) ? 0 : holder.bytes;
  return sum;
}

}  // namespace stand_in
