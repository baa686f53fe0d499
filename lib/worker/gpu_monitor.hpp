// What the driver says of the GPUs that engines are on, whole and by process. Read every second by a thread of its own,
// because the driver may take its time, and only while there is such an engine. Thread-safe; a reading is as old as it
// says.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace step1x::worker {

class GpuMonitor {
 public:
  struct Subject {
    std::string uuid;
    pid_t pid = 0;
    bool operator==(const Subject&) const = default;
  };
  struct Reading {
    std::uint64_t total_bytes = 0;
    std::uint64_t free_bytes = 0;
    std::optional<std::uint64_t> process_bytes;  // not told in some containers
    std::chrono::steady_clock::time_point at;
  };

  // `library`: NVML's file.
  explicit GpuMonitor(std::string library = "libnvidia-ml.so.1");
  // Its thread ends by itself, soon: nobody waits for a driver that hangs.
  ~GpuMonitor();
  GpuMonitor(const GpuMonitor&) = delete;
  GpuMonitor& operator=(const GpuMonitor&) = delete;

  // From now on these; none: the thread and the library go.
  void watch(std::vector<Subject> subjects);
  // The last one; nullopt: there is none yet, or there is no driver.
  std::optional<Reading> reading(const Subject& subject) const;

 private:
  struct State;

  std::shared_ptr<State> state_;
};

}  // namespace step1x::worker
