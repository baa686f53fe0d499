// A batch at work: takes decoded pictures from a Reader, keeps the worker busy with them under one lease, and gives
// what comes back to a Writer. Goes on past whatever fails for one item alone; reconnects when a worker goes. One
// thread, besides those two.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/duration.hpp"
#include "batch/reader.hpp"
#include "batch/work.hpp"
#include "batch/writer.hpp"
#include "ipc/client.hpp"

namespace step1x::cli {

struct BatchTally {
  std::size_t total = 0;
  std::size_t done = 0;
  std::size_t failed = 0;
  std::size_t kept = 0;         // there already
  std::size_t kept_failed = 0;  // failed in an earlier run, and not tried again
  struct Slow {
    std::string key;
    double seconds = 0;
  };
  std::vector<Slow> slowest;  // at most three, the slowest first
  // Of each work, whether it was to be done and its turn came, and whether it is one of those four.
  std::vector<bool> begun;
  std::vector<bool> settled;
  double seconds = 0;
  std::string stopped;         // why it ended before the last item; empty: it did not
  bool interrupted = false;    // at a signal
  std::optional<Error> fatal;  // what ended it: no item could have been done

  std::size_t left() const { return total - done - failed - kept - kept_failed; }
  double per_minute() const { return seconds > 0 ? static_cast<double>(done) / seconds * 60 : 0; }
};

// What is told while it runs.
class BatchEvents {
 public:
  virtual ~BatchEvents() = default;
  // An event of the worker's about this item.
  virtual void progress(const batch::Work& work, const ipc::Json& event) = 0;
  virtual void done(const batch::Work& work, double seconds, const BatchTally& tally) = 0;
  virtual void failed(const batch::Work& work, const Error& problem, const BatchTally& tally) = 0;
  virtual void notice(const std::string& line) = 0;
};

struct BatchOptions {
  ipc::ClientOptions client;
  batch::Reader::Options reader;
  batch::Writer::Options writer;
  // What every request has besides the item's own: model, device, timers, ...
  ipc::Json members;
  // The devices to spread items over; empty: the one in `members`.
  std::vector<std::string> devices;
  Duration timeout = kNever;  // for each item
  std::optional<std::size_t> max_failures;
  // No item is begun after this.
  std::optional<std::chrono::system_clock::time_point> deadline;
};

// Returns however it ends; the tally says how. Throws Error(cancelled) at a second signal.
BatchTally run_batch(const std::vector<batch::Work>& works, const batch::JournalView& before, batch::Journal& journal,
                     const BatchOptions& options, BatchEvents& events);

}  // namespace step1x::cli
