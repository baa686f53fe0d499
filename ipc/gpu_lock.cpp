#include "ipc/gpu_lock.hpp"

#include <thread>

#include "base/error.hpp"

namespace step1x::ipc {

std::optional<Lock> lock_gpu(const std::string& uuid, std::chrono::milliseconds patience,
                             const std::function<void()>& check, Directory::Options where) {
  constexpr std::chrono::milliseconds kTurn{100};
  try {
    if (where.path.empty()) where.path = Directory::resolve({}).parent_path() / "gpus";
    const Directory directory = Directory::open(where);
    const std::string name = uuid + ".lock";
    const auto start = std::chrono::steady_clock::now();
    for (bool told = false;; std::this_thread::sleep_for(kTurn)) {
      if (auto lock = Lock::try_acquire(directory, name.c_str())) return lock;
      const bool last = std::chrono::steady_clock::now() - start >= patience;
      if (!told || last)
        fmt::print(stderr, "another worker of this user has its model on {}: {}\n", uuid,
                   last ? "going on" : "waiting");
      if (last) return std::nullopt;
      told = true;
      check();
    }
  } catch (const Error& problem) {
    if (problem.code() != ErrorCode::worker_failed) throw;
    fmt::print(stderr, "cannot tell whether another worker uses {}: {}\n", uuid, problem.what());
    return std::nullopt;
  }
}

}  // namespace step1x::ipc
