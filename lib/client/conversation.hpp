// The conversation with the worker about jobs in flight: connects (and starts the worker where there is none), sends
// them, follows their events, cancels them at a signal or when their time is over, and sends them to the next worker
// when the present one goes away. It knows nothing of what is asked for: no files, no pixels, nothing on a terminal.
// One thread, the main one: it takes the signals (signals.hpp).
//
//   Conversation conversation(options, listener);
//   conversation.add(request, picture.get());
//   while (conversation.size() > 0) conversation.turn();
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>

#include "base/duration.hpp"
#include "base/error.hpp"
#include "client/signals.hpp"
#include "ipc/client.hpp"

namespace step1x::client {

enum class JobState {
  waiting,     // for a worker: new, or the one that had it has gone
  sent,        // the worker has it
  begun,       // an engine has it
  cancelling,  // nobody wants it any more, and the worker has been told
  timed_out,   // the same, because its time was over
};

struct Job {
  std::int64_t id = 0;  // also that of the request; never used again
  JobState state = JobState::waiting;
  int attempts = 1;   // the one that runs included; a worker that leaves in good order has made none
  ipc::Json request;  // with its id
  int picture = -1;   // the caller's
  ipc::Deadline end;  // of the state it is in
};

struct Result {
  ipc::Json done;    // the `done` event
  UniqueFd picture;  // empty for `load`
  ipc::WorkerInfo worker;
  bool spawned = false;  // the worker had to be started
};

// What becomes of the jobs. Each ends with exactly one of done(), failed() and cancelled(), and is forgotten before the
// call: it may add and cancel others. What a listener throws goes through turn(); the conversation is over then.
class Listener {
 public:
  virtual ~Listener() = default;
  // An event of the worker's about this job, `retry` too.
  virtual void progress(const Job& job, const ipc::Json& event) = 0;
  virtual void done(const Job& job, Result result) = 0;
  // What the worker answered; timeout; worker_failed when two workers died with it.
  virtual void failed(const Job& job, const Error& problem) = 0;
  // By this side: cancel(), or a signal.
  virtual void cancelled(const Job& job) = 0;
  // In the middle of jobs, which another worker is about to do. `how`: "worker 815 died ...".
  virtual void worker_died(const std::string& how) = 0;
};

struct Options {
  ipc::ClientOptions client;  // its timeout is set from the one below
  // Sent first to each worker. It lasts as long as the connection; its answers are nobody's.
  std::optional<ipc::Json> lease;
  // A descriptor that ends turn() when it is readable, or -1. Not read.
  int bell = -1;
  // What the user gave as the limit of time, for each job; or where there is an `end`, for all of them together, and
  // more than the jobs.
  Duration timeout = kNever;
  ipc::Deadline end;
  enum class Counted {
    from_add,    // the way to the worker included
    from_begun,  // by an engine
  } counted = Counted::from_add;
  // So many workers are tried after one that died, until a job is done.
  int more_workers = 1;
};

class Conversation {
 public:
  // From here on the signals are its own, but for the time of the way to a worker: then they end the command at once.
  Conversation(Options options, Listener& listener);

  // To be sent in the next turn. `request`: all but its id. `picture`: descriptor of a sealed picture that outlives the
  // job, or -1.
  std::int64_t add(ipc::Json request, int picture);
  std::size_t size() const { return jobs_.size(); }

  // Waits until something happens, at most until `until`, and tells the listener. Throws Error, with all jobs
  // forgotten: cancelled at a second signal; worker_failed when no worker can be started, or too many died;
  // version_mismatch when too many have left; timeout when the way to a worker took too long; protocol.
  void turn(ipc::Deadline until = std::nullopt);

  void cancel_all();
  // Those that no engine has.
  void cancel_unbegun();
  // A signal came: all jobs were cancelled.
  bool interrupted() const { return interrupted_; }

  // Readable when there is a signal to take: whatever else a view of the conversation waits for ends then.
  int signals() const { return signals_.fd(); }

  // Ends the connection, and with it the lease. There must be no jobs.
  void leave() { client_.reset(); }

 private:
  void send_waiting();
  void connect();
  void send(const ipc::Json& body, int fd = -1);
  void wait(ipc::Deadline until) const;
  void take_signals();
  void receive();
  void handle(ipc::Message message);
  void fail(std::int64_t id, const Error& problem);
  void cancel(std::initializer_list<JobState> those);
  void stop(Job& job, JobState state);
  void check_time();
  void restart();
  void worker_died();
  void part(const Error* death = nullptr);
  ipc::Deadline time_limit() const;

  Options options_;
  Listener& listener_;
  Signals signals_;
  std::optional<ipc::Client> client_;
  std::map<std::int64_t, Job> jobs_;  // by id
  std::int64_t last_id_ = 0;
  int deaths_in_a_row_ = 0;
  int restarts_in_a_row_ = 0;
  std::uint64_t memory_kills_ = 0;  // when the worker was found
  bool silent_ = false;             // the last one was left because it said nothing
  bool interrupted_ = false;
};

}  // namespace step1x::client
