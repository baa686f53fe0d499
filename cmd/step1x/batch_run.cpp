#include "batch_run.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/utf8.hpp"
#include "client/conversation.hpp"
#include "ipc/fields.hpp"
#include "ipc/picture.hpp"
#include "picture_input.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

using Clock = std::chrono::steady_clock;

// Wakes a poll() from another thread.
class Bell {
 public:
  Bell() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!fd_) throw Error::format(ErrorCode::failure, "eventfd: {}", errno_text());
  }
  void ring() const { ::eventfd_write(fd_.get(), 1); }
  void quiet() const {
    eventfd_t value = 0;
    ::eventfd_read(fd_.get(), &value);
  }
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
};

// An item between Reader and Writer.
struct Flight {
  batch::Loaded loaded;
  std::string device;  // empty: the one of all
  int attempts = 0;    // besides those of its job
};

// What no other item would fare better with.
bool ends_batch(ErrorCode code) {
  return code == ErrorCode::model_missing || code == ErrorCode::usage || code == ErrorCode::busy ||
         code == ErrorCode::version_mismatch || code == ErrorCode::protocol;
}

class Run : public client::Listener {
 public:
  Run(const std::vector<batch::Work>& works, const batch::JournalView& before, batch::Journal& journal,
      const BatchOptions& options, BatchEvents& events)
      : works_(works),
        options_(options),
        events_(events),
        conversation_(conversation_options(options, bell_.fd()), *this),
        writer_(works, before, journal, options.writer, [this] { bell_.ring(); }),
        reader_(works, before, options.reader, [this] { bell_.ring(); }) {
    tally_.total = works.size();
    tally_.begun.resize(works.size());
    tally_.settled.resize(works.size());
  }

  BatchTally run() {
    const auto start = Clock::now();
    for (;;) {
      take_written();
      check_deadline();
      if (!stopping_) take_loaded();
      if (finished()) break;
      turn();
    }
    // The lease ends here, before the last pictures are written: the GPU has nothing to do any more.
    conversation_.leave();
    writer_.close();
    for (take_written(); writer_.pending() > 0; take_written()) turn();
    tally_.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return std::move(tally_);
  }

 private:
  static client::Options conversation_options(const BatchOptions& options, int bell) {
    client::Options talk;
    talk.client = options.client;
    talk.lease = ipc::Json({{"op", "lease"}, {"label", "batch"}, {"model", options.members.at("model")}});
    talk.bell = bell;
    talk.timeout = options.timeout;
    talk.counted = client::Options::Counted::from_begun;
    talk.more_workers = 3;
    return talk;
  }

  bool finished() const { return flights_.empty() && (stopping_ || reader_.ended()); }

  void turn() {
    try {
      conversation_.turn(next_look_at_the_clock());
    } catch (const Error& problem) {
      if (problem.code() == ErrorCode::cancelled) throw;
      flights_.clear();
      if (!tally_.fatal) tally_.fatal = problem;
      stop(problem.what(), /*at_once=*/true);
    }
    if (!conversation_.interrupted() || std::exchange(tally_.interrupted, true)) return;
    hurry();
    stop("interrupted", /*at_once=*/true);
  }

  // At the deadline, and before: it is a time of the day, which may be set.
  ipc::Deadline next_look_at_the_clock() const {
    if (!options_.deadline || stopping_) return std::nullopt;
    const auto left = *options_.deadline - std::chrono::system_clock::now();
    return Clock::now() + std::min<std::chrono::nanoseconds>(left, std::chrono::milliseconds(100));
  }

  // No item is begun any more. What runs is cancelled too, if `at_once`.
  void stop(const std::string& why, bool at_once) {
    if (tally_.stopped.empty()) tally_.stopped = why;
    stopping_ = true;
    if (at_once) {
      conversation_.cancel_all();
    } else {
      conversation_.cancel_unbegun();
    }
  }

  void take_loaded() {
    while (flights_.size() < room()) {
      std::optional<batch::Loaded> loaded = reader_.take();
      if (!loaded) return;
      if (!loaded->wanted) {
        keep(*loaded);
        continue;
      }
      tally_.begun[loaded->index] = true;
      if (loaded->pictures > 1)
        events_.notice(further_pictures(printable(works_[loaded->index].item.key), loaded->pictures));
      Flight flight;
      flight.loaded = std::move(*loaded);
      if (flight.loaded.problem) {
        give_up(flight, 1, *flight.loaded.problem);
      } else {
        flight.device = idlest_device();
        begin(std::move(flight));
      }
    }
  }

  void keep(const batch::Loaded& loaded) {
    tally_.settled[loaded.index] = true;
    ++(loaded.verdict == batch::Verdict::failed ? tally_.kept_failed : tally_.kept);
    if (loaded.verdict == batch::Verdict::retouched)
      events_.notice(fmt::format("{} was changed since it was made, and is kept: --force makes it anew",
                                 works_[loaded.index].output));
  }

  // One is computed, one waits behind it, on each device.
  std::size_t room() const { return 2 * std::max<std::size_t>(1, options_.devices.size()); }

  void begin(Flight flight) {
    const std::int64_t id = conversation_.add(request(flight), flight.loaded.picture.get());
    flights_.emplace(id, std::move(flight));
  }

  std::string idlest_device() const {
    const auto busy = [this](const std::string& device) {
      return std::ranges::count_if(flights_, [&](const auto& entry) { return entry.second.device == device; });
    };
    const auto best = std::ranges::min_element(options_.devices, {}, busy);
    return best == options_.devices.end() ? "" : *best;
  }

  ipc::Json request(const Flight& flight) const {
    ipc::Json body = options_.members;
    for (const auto& [name, value] : works_[flight.loaded.index].parameters.items()) body[name] = value;
    body["op"] = "edit";
    body["fd"] = "image";
    body["width"] = flight.loaded.width;
    body["height"] = flight.loaded.height;
    body["priority"] = "batch";
    if (!flight.device.empty()) body["device"] = flight.device;
    return body;
  }

  Flight land(const client::Job& job) { return std::move(flights_.extract(job.id).mapped()); }

  void progress(const client::Job& job, const ipc::Json& event) override {
    events_.progress(works_[flights_.at(job.id).loaded.index], event);
  }

  void done(const client::Job& job, client::Result result) override {
    Flight flight = land(job);
    const ipc::Fields fields(result.done);
    batch::Outcome outcome = outcome_of(flight, job.attempts);
    outcome.picture = std::move(result.picture);
    outcome.metadata = std::move(flight.loaded.metadata);
    outcome.width = static_cast<int>(fields.integer("width", 1, ipc::kMaxSide));
    outcome.height = static_cast<int>(fields.integer("height", 1, ipc::kMaxSide));
    outcome.timings = result.done.value("timings", ipc::Json::object());
    outcome.timings["read"] = flight.loaded.seconds;
    writer_.put(std::move(outcome));
  }

  void failed(const client::Job& job, const Error& problem) override {
    Flight flight = land(job);
    // By somebody else: the worker was told to leave, or the GPU was wanted.
    if (problem.code() == ErrorCode::cancelled && flight.attempts + job.attempts < kAttempts) {
      if (stopping_) return;
      flight.attempts += job.attempts;
      return begin(std::move(flight));
    }
    if (ends_batch(problem.code())) {
      if (!tally_.fatal) tally_.fatal = problem;
      return stop(problem.what(), /*at_once=*/true);
    }
    give_up(flight, job.attempts, problem);
  }

  void cancelled(const client::Job& job) override { flights_.erase(job.id); }

  void worker_died(const std::string& how) override { events_.notice(how + "; going on with another one"); }

  static batch::Outcome outcome_of(const Flight& flight, int attempts) {
    batch::Outcome outcome;
    outcome.index = flight.loaded.index;
    outcome.input = flight.loaded.input;
    outcome.attempts = flight.attempts + attempts;
    return outcome;
  }

  void give_up(const Flight& flight, int attempts, const Error& problem) {
    batch::Outcome outcome = outcome_of(flight, attempts);
    outcome.problem = problem;
    writer_.put(std::move(outcome));
  }

  // The bell is quieted nowhere else: a ring that nobody answers by taking could be the last one.
  void take_written() {
    bell_.quiet();
    while (std::optional<batch::Written> written = writer_.take()) {
      const batch::Work& work = works_[written->index];
      tally_.settled[written->index] = written->settled;
      if (!written->problem) {
        ++tally_.done;
        note_slow(work.item.key, written->seconds);
        events_.done(work, written->seconds, tally_);
        continue;
      }
      if (!written->settled) {
        if (!tally_.fatal) tally_.fatal = *written->problem;
        stop(written->problem->what(), /*at_once=*/true);
        continue;
      }
      ++tally_.failed;
      events_.failed(work, *written->problem, tally_);
      if (options_.max_failures && tally_.failed >= *options_.max_failures && !stopping_)
        stop(fmt::format("{} items have failed (--max-failures)", tally_.failed), /*at_once=*/true);
    }
  }

  void note_slow(const std::string& key, double seconds) {
    constexpr std::size_t kSlowest = 3;
    auto& slowest = tally_.slowest;
    const auto place = std::ranges::find_if(slowest, [&](const auto& other) { return other.seconds < seconds; });
    slowest.insert(place, {key, seconds});
    if (slowest.size() > kSlowest) slowest.pop_back();
  }

  void check_deadline() {
    if (options_.deadline && !stopping_ && std::chrono::system_clock::now() >= *options_.deadline)
      stop("its time is over (--deadline, --max-runtime)", /*at_once=*/false);
  }

  // Of an item that somebody else cancels, before it is given up.
  static constexpr int kAttempts = 2;

  const std::vector<batch::Work>& works_;
  const BatchOptions& options_;
  BatchEvents& events_;
  Bell bell_;
  BatchTally tally_;
  std::map<std::int64_t, Flight> flights_;  // by the job's id
  bool stopping_ = false;
  // First of what has threads: they leave the signals to it.
  client::Conversation conversation_;
  const Impatience impatient_{conversation_.signals(), std::nullopt};
  batch::Writer writer_;
  batch::Reader reader_;
};

}  // namespace

BatchTally run_batch(const std::vector<batch::Work>& works, const batch::JournalView& before, batch::Journal& journal,
                     const BatchOptions& options, BatchEvents& events) {
  return Run(works, before, journal, options, events).run();
}

}  // namespace step1x::cli
