// What an engine does with a job: the one seam of the project. FakeRunner stands in for the model in the tests of
// everything around it. A Runner is used from one thread; Progress may be asked from it at any time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "ipc/frame.hpp"
#include "ipc/lock.hpp"
#include "ipc/picture.hpp"
#include "request/job_values.hpp"

namespace step1x::engine {

struct Job : request::Job {
  std::int64_t id = 0;
  bool load_only = false;  // the model comes to the device, and no picture is made
  int width = 0;           // of the picture given (edit) or wanted (generate)
  int height = 0;
  std::optional<ipc::PictureView> picture;  // none: generate
};

struct Result {
  UniqueFd picture;  // sealed, width * height * 3; empty where only the model was wanted
  int width = 0;
  int height = 0;
  ipc::Json timings = ipc::Json::object();  // seconds by name, see protocol.md section 5
  ipc::Json cuts = ipc::Json::object();     // "prompt_cut", "negative_prompt_cut": the same
};

// The worker's answer to a runner that asked for the host arena (protocol.md, section 7).
struct ArenaGrant {
  UniqueFd fd;          // empty: there is none, the weights live in this process or on the device alone
  bool filled = false;  // by another engine: to be read only
};

// What is where, for `status`.
struct MemoryReport {
  std::int64_t allocated_bytes = 0;
  std::int64_t reserved_bytes = 0;
  const char* location = "Unloaded";  // or CPU, GPU
  std::string device = {};            // what the job's `auto` or `cuda` came to be; empty: not known yet
  std::string uuid = {};              // of the GPU; empty: none
  ipc::Json plan = nullptr;           // or as protocol.md section 6 has it
  ipc::Json copies = nullptr;         // the same
};

// How a runner reports and learns that nobody wants its work any more.
class Progress {
 public:
  virtual ~Progress() = default;
  virtual void loading(std::int64_t done, std::int64_t total) = 0;
  virtual void step(int step, int steps, double seconds_left) = 0;
  virtual void memory(const MemoryReport& report) = 0;
  // Asks the worker for the arena of the model that `key` names, of this many bytes. REQUIRES: nothing of an arena that
  // was given before is mapped any more.
  virtual ArenaGrant arena(const std::string& key, std::int64_t bytes) = 0;
  // It is whole now; `huge_bytes` of it lie in huge pages.
  virtual void arena_filled(std::int64_t huge_bytes) = 0;
  // Waits until no other worker of this user has its model on that GPU, a while at most; then the log says so, and
  // there is no lock. Throws Error(cancelled).
  virtual std::optional<ipc::Lock> lock_gpu(const std::string& uuid) = 0;
  // Throws Error(cancelled) when the job is not wanted any more. To be called at least once per block of the model.
  virtual void check() = 0;
};

class Runner {
 public:
  virtual ~Runner() = default;
  // Throws Error.
  virtual Result run(const Job& job, Progress& progress) = 0;
  // Drops the model from the device's memory.
  virtual void offload(Progress& progress) = 0;
};

}  // namespace step1x::engine
