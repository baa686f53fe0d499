#include "batch_run.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>

#include "client/ask.hpp"
#include "client/signals.hpp"
#include "ipc/fields.hpp"
#include "ipc/picture.hpp"

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
  int attempts = 0;
  bool begun = false;  // an engine has it
  bool cancelled = false;
  bool timed_out = false;
  Clock::time_point since = Clock::now();  // it was sent, then it was begun
};

// A second signal: out, whatever is under way. The end of the connection cancels as well.
struct Interrupted {};

// What no other item would fare better with.
bool ends_batch(ErrorCode code) {
  return code == ErrorCode::model_missing || code == ErrorCode::usage || code == ErrorCode::busy ||
         code == ErrorCode::version_mismatch || code == ErrorCode::protocol;
}

class Run {
 public:
  Run(const std::vector<batch::Work>& works, const batch::JournalView& before, batch::Journal& journal,
      const BatchOptions& options, BatchEvents& events)
      : works_(works),
        options_(options),
        events_(events),
        writer_(works, before, journal, options.writer, [this] { bell_.ring(); }),
        reader_(works, before, options.reader, [this] { bell_.ring(); }) {
    tally_.total = works.size();
  }

  BatchTally run() {
    const auto start = Clock::now();
    while (!finished()) {
      take_written();
      if (!stopping_) take_loaded();
      try {
        send_waiting();
        wait();
        receive();
      } catch (const Error& problem) {
        lost_worker(problem);
      }
      check_time();
    }
    // The lease ends here, before the last pictures are written: the GPU has nothing to do any more.
    client_.reset();
    writer_.close();
    while (writer_.pending() > 0) {
      pollfd entry{bell_.fd(), POLLIN, 0};
      ::poll(&entry, 1, -1);
      take_written();
    }
    tally_.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return std::move(tally_);
  }

 private:
  bool finished() const {
    if (!flights_.empty()) return false;
    return stopping_ || (reader_.ended() && waiting_.empty());
  }

  // No item is begun any more. What runs is cancelled too, if `at_once`.
  void stop(const std::string& why, bool at_once) {
    if (tally_.stopped.empty()) tally_.stopped = why;
    stopping_ = true;
    waiting_.clear();
    for (auto& [id, flight] : flights_) {
      if (at_once || !flight.begun) cancel(id, flight);
    }
  }

  void cancel(std::int64_t id, Flight& flight) {
    if (std::exchange(flight.cancelled, true) || !client_) return;
    try {
      client_->send({{"op", "cancel"}, {"id", id}});
    } catch (const Error&) {
      // It is gone: the next receive() says so.
    }
  }

  void take_loaded() {
    while (waiting_.size() + flights_.size() < room()) {
      std::optional<batch::Loaded> loaded = reader_.take();
      if (!loaded) return;
      if (!loaded->wanted) {
        ++(loaded->verdict == batch::Verdict::failed ? tally_.kept_failed : tally_.kept);
        continue;
      }
      Flight flight;
      flight.loaded = std::move(*loaded);
      if (flight.loaded.problem) {
        const Error problem = *flight.loaded.problem;
        give_up(std::move(flight), problem);
      } else {
        waiting_.push_back(std::move(flight));
      }
    }
  }

  // One is computed, one waits behind it, on each device.
  std::size_t room() const { return 2 * std::max<std::size_t>(1, options_.devices.size()); }

  void send_waiting() {
    while (!waiting_.empty() && flights_.size() < room()) {
      if (!client_) connect();
      Flight flight = std::move(waiting_.front());
      waiting_.pop_front();
      flight.device = idlest_device();
      flight.since = Clock::now();
      flight.begun = false;
      const std::int64_t id = ++last_id_;
      // First among those that fly: it is sent again if this fails.
      const Flight& sent = flights_.emplace(id, std::move(flight)).first->second;
      client_->send(request(id, sent), sent.loaded.picture.get());
    }
  }

  std::string idlest_device() const {
    const auto busy = [this](const std::string& device) {
      return std::ranges::count_if(flights_, [&](const auto& entry) { return entry.second.device == device; });
    };
    const auto best = std::ranges::min_element(options_.devices, {}, busy);
    return best == options_.devices.end() ? "" : *best;
  }

  ipc::Json request(std::int64_t id, const Flight& flight) const {
    ipc::Json body = options_.members;
    for (const auto& [name, value] : works_[flight.loaded.index].parameters.items()) body[name] = value;
    body["op"] = "edit";
    body["id"] = id;
    body["fd"] = "image";
    body["width"] = flight.loaded.width;
    body["height"] = flight.loaded.height;
    body["priority"] = "batch";
    if (!flight.device.empty()) body["device"] = flight.device;
    return body;
  }

  void connect() {
    client_.emplace(ipc::Client::connect_or_spawn(options_.client));
    client_->send({{"op", "lease"}, {"label", "batch"}, {"model", options_.members.at("model")}});
  }

  void wait() {
    std::array<pollfd, 3> entries{pollfd{signals_.fd(), POLLIN, 0}, pollfd{bell_.fd(), POLLIN, 0},
                                  pollfd{client_ ? client_->fd() : -1, POLLIN, 0}};
    // For the clock: deadlines and the time of items.
    constexpr int kTurn = 100;
    const bool something_to_do = finished() || (!stopping_ && !waiting_.empty() && flights_.size() < room());
    ::poll(entries.data(), entries.size(), something_to_do ? 0 : kTurn);
    const int signals = signals_.take();
    if (signals == 0) return;
    if (tally_.interrupted || signals > 1) throw Interrupted{};
    tally_.interrupted = true;
    stop("interrupted", /*at_once=*/true);
  }

  void receive() {
    while (client_) {
      std::optional<ipc::Message> message = client_->receive(Clock::now());
      if (!message) return;
      const ipc::Fields fields(message->body);
      const std::string event = fields.text("event", "");
      if (event == "restart") return restart();
      const auto found = flights_.find(fields.integer_or("id", 0, INT64_MAX, 0));
      if (found == flights_.end()) continue;  // `leased`, or the last words of an item
      handle(found, event, std::move(*message));
    }
  }

  using Found = std::map<std::int64_t, Flight>::iterator;

  void handle(Found found, const std::string& event, ipc::Message message) {
    Flight& flight = found->second;
    const batch::Work& work = works_[flight.loaded.index];
    if (event == "done" || event == "error") {
      Flight ended = std::move(flight);
      flights_.erase(found);
      deaths_in_a_row_ = 0;
      restarts_in_a_row_ = 0;
      if (event == "done") return done(std::move(ended), std::move(message));
      return failed(std::move(ended), message.body);
    }
    if (event == "queued" && ipc::Fields(message.body).integer_or("position", 0, INT64_MAX, 1) == 0 && !flight.begun) {
      flight.begun = true;
      flight.since = Clock::now();
    }
    events_.progress(work, message.body);
  }

  void done(Flight flight, ipc::Message message) {
    if (flight.cancelled || !message.fd) {
      if (!flight.cancelled) give_up(std::move(flight), Error(ErrorCode::protocol, "the worker sent no picture"));
      return;
    }
    const ipc::Fields fields(message.body);
    batch::Outcome outcome = outcome_of(flight);
    outcome.picture = std::move(message.fd);
    outcome.metadata = std::move(flight.loaded.metadata);
    outcome.width = static_cast<int>(fields.integer("width", 1, ipc::kMaxSide));
    outcome.height = static_cast<int>(fields.integer("height", 1, ipc::kMaxSide));
    outcome.timings = message.body.value("timings", ipc::Json::object());
    outcome.timings["read"] = flight.loaded.seconds;
    writer_.put(std::move(outcome));
  }

  void failed(Flight flight, const ipc::Json& event) {
    const Error problem = client::error_of(event);
    const ErrorCode code = problem.code();
    if (flight.timed_out)
      return give_up(std::move(flight), Error::format(ErrorCode::timeout, "no picture after {} (--timeout)",
                                                      format_duration(options_.timeout)));
    if (flight.cancelled) return;
    // By somebody else: the worker was told to leave, or the GPU was wanted.
    if (code == ErrorCode::cancelled && ++flight.attempts < kAttempts) return waiting_.push_front(std::move(flight));
    if (ends_batch(code)) {
      if (!tally_.fatal) tally_.fatal = problem;
      return stop(problem.what(), /*at_once=*/true);
    }
    give_up(std::move(flight), problem);
  }

  static batch::Outcome outcome_of(const Flight& flight) {
    batch::Outcome outcome;
    outcome.index = flight.loaded.index;
    outcome.input = flight.loaded.input;
    outcome.attempts = flight.attempts + 1;
    return outcome;
  }

  void give_up(Flight flight, const Error& problem) {
    batch::Outcome outcome = outcome_of(flight);
    outcome.problem = problem;
    writer_.put(std::move(outcome));
  }

  // The bell is quieted nowhere else: a ring that nobody answers by taking could be the last one.
  void take_written() {
    bell_.quiet();
    while (std::optional<batch::Written> written = writer_.take()) {
      const batch::Work& work = works_[written->index];
      if (!written->problem) {
        ++tally_.done;
        note_slow(work.item.key, written->seconds);
        events_.done(work, written->seconds, tally_);
        continue;
      }
      // No fault of the item's, and none of what follows could be recorded either.
      if (!written->in_journal) {
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

  // The worker leaves in good order; everything that flew is sent to the next.
  void restart() {
    client_.reset();
    requeue();
    constexpr int kMost = 3;
    if (++restarts_in_a_row_ <= kMost) return;
    tally_.fatal = Error::format(ErrorCode::version_mismatch, "{} workers in a row have left before an item was done",
                                 restarts_in_a_row_);
    stop(tally_.fatal->what(), /*at_once=*/true);
  }

  void requeue() {
    for (auto entry = flights_.rbegin(); entry != flights_.rend(); ++entry) {
      if (!stopping_) waiting_.push_front(std::move(entry->second));
    }
    flights_.clear();
  }

  void lost_worker(const Error& problem) {
    const bool connected = client_.has_value();
    client_.reset();
    constexpr int kDeaths = 3;
    if (problem.code() != ErrorCode::worker_failed || !connected || ++deaths_in_a_row_ > kDeaths) {
      requeue();
      if (!tally_.fatal) tally_.fatal = problem;
      return stop(problem.what(), /*at_once=*/true);
    }
    events_.notice(fmt::format("the worker is gone ({}); going on with another one", problem.what()));
    // What was computed when it died may be what killed it.
    std::map<std::int64_t, Flight> flown = std::exchange(flights_, {});
    std::deque<Flight> again;
    for (auto& [id, flight] : flown) {
      if (stopping_) continue;
      if (flight.begun && ++flight.attempts >= kAttempts) {
        give_up(std::move(flight),
                Error::format(ErrorCode::worker_failed, "{} workers died with this item", kAttempts));
      } else {
        again.push_back(std::move(flight));
      }
    }
    waiting_.insert(waiting_.begin(), std::move_iterator(again.begin()), std::move_iterator(again.end()));
  }

  void check_time() {
    if (options_.deadline && !stopping_ && std::chrono::system_clock::now() >= *options_.deadline)
      stop("its time is over", /*at_once=*/false);
    if (options_.timeout < Duration::zero()) return;
    for (auto& [id, flight] : flights_) {
      if (!flight.begun || flight.cancelled || Clock::now() - flight.since < options_.timeout) continue;
      flight.timed_out = true;
      cancel(id, flight);
    }
  }

  // Of one item, before it is given up.
  static constexpr int kAttempts = 2;

  const std::vector<batch::Work>& works_;
  const BatchOptions& options_;
  BatchEvents& events_;
  client::Signals signals_;
  Bell bell_;
  BatchTally tally_;
  std::optional<ipc::Client> client_;
  std::deque<Flight> waiting_;
  std::map<std::int64_t, Flight> flights_;  // by the request's id
  std::int64_t last_id_ = 0;
  int deaths_in_a_row_ = 0;
  int restarts_in_a_row_ = 0;
  bool stopping_ = false;
  batch::Writer writer_;
  batch::Reader reader_;
};

}  // namespace

BatchTally run_batch(const std::vector<batch::Work>& works, const batch::JournalView& before, batch::Journal& journal,
                     const BatchOptions& options, BatchEvents& events) {
  try {
    return Run(works, before, journal, options, events).run();
  } catch (const Interrupted&) {
    throw Error(ErrorCode::cancelled, "interrupted");
  }
}

}  // namespace step1x::cli
