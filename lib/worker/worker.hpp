// The resident worker: takes requests, keeps the queue, gives jobs to its fleet of engines, moves the model by the
// timers (lib/README.md, Where the model is) and when somebody asks for it, and answers `status` at any moment. Holds
// no pixel and no weight, and knows of devices what Fleet says. One thread: that of the loop; nothing here blocks.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ipc/server.hpp"
#include "worker/boot_timer.hpp"
#include "worker/fleet.hpp"
#include "worker/queue.hpp"
#include "worker/session.hpp"
#include "worker/timers.hpp"

namespace step1x::worker {

struct Statistics {
  std::int64_t total_loads = 0;
  std::int64_t gpu_to_cpu = 0;
  std::int64_t cpu_to_gpu = 0;
  std::int64_t full_releases = 0;
  std::int64_t done = 0;
  std::int64_t failed = 0;
  std::int64_t cancelled = 0;
  std::int64_t engine_deaths = 0;
};

struct WorkerOptions {
  std::string engine_program;
  pid_t until_pid = 0;  // leave when this process has ended; 0: no such process
  // What of the limits of who started it holds for this process too, in words for `status`.
  std::vector<std::string> limits = {};
};

class Worker {
 public:
  // REQUIRES: `lock` is the worker lock of `directory`; both outlive the worker.
  Worker(boost::asio::io_context& io, const ipc::Directory& directory, const ipc::Lock& lock, WorkerOptions options);

  // For the status reader.
  ipc::Json status() const;

 private:
  enum class Phase { expecting, serving, leaving };  // `serving`: a client of our protocol has come
  // An offload, a release or a shutdown, until its moment has come.
  struct Action {
    void (Worker::*run)(const Action&);
    std::shared_ptr<Session> session;
    std::int64_t id;
    bool after_jobs = false;  // and leases; otherwise as soon as no engine is in the way
  };
  // One that has begun, and is answered once `settled` says so.
  struct Settling {
    std::shared_ptr<Session> session;
    std::int64_t id;
    std::function<bool()> settled;
  };

  // Life (worker.cpp)
  void connect(UniqueFd socket);
  void disconnect(Session& session);
  void update();
  bool dispatch();
  void act(Transition transition);
  void leave(const std::string& reason);
  void end_when_alone();
  void leave_at_signals();
  void leave_with_process(pid_t pid);
  bool busy() const;
  Duration courtesy() const;
  std::vector<LeaseView> leases() const;
  Situation situation() const;

  // Requests (requests.cpp)
  void receive(const std::shared_ptr<Session>& session, ipc::Message message);
  void greet(Session& session, const ipc::Json& body);
  void handle(const std::shared_ptr<Session>& session, const std::string& op, ipc::Message message);
  void enqueue(const std::shared_ptr<Session>& session, ipc::Message message);
  void cancel(Job& job);
  void cancel_all();

  // What clients want done with the model, or with the worker itself (actions.cpp)
  // Takes the request's mode from `body`. Throws Error(usage), Error(busy).
  void when_free(Action action, const std::string& op, const ipc::Json& body);
  std::string in_the_way() const;
  // No job may be given to an engine.
  bool held() const;
  // True when it has done something.
  bool run_next_action();
  void offload(const Action& action);
  void release(const Action& action);
  void shutdown(const Action& action);
  void answer_settled();

  // What becomes of a job (jobs.cpp)
  Fleet::Events fleet_events();
  void job_ended(const std::shared_ptr<Job>& job, ipc::Message message);
  void job_died(std::shared_ptr<Job> job, const std::string& how);
  void forget(const Job& job);
  void count(std::optional<Move> move);
  void announce_positions();

  boost::asio::io_context& io_;
  const ipc::Directory& directory_;
  WorkerOptions options_;
  ipc::Server server_;
  boost::asio::signal_set signals_;
  BootTimer timer_;
  boost::asio::steady_timer farewell_;
  std::list<std::shared_ptr<Session>> sessions_;
  Queue queue_;
  Fleet fleet_;
  Timers timers_;
  int timers_set_by_ = 0;
  Statistics statistics_;
  std::uint64_t next_number_ = 1;
  Duration started_at_;
  Duration idle_since_;   // the last job ended, or the last lease was closed
  Duration quiet_since_;  // see Situation::quiet
  // In the order in which they came; those of a session go with it.
  std::list<Action> actions_;
  std::list<Settling> settling_;
  Phase phase_ = Phase::expecting;
  bool announcing_ = false;   // of positions in the queue
  bool unreachable_ = false;  // the socket's file is gone or another's: nobody new can come
};

}  // namespace step1x::worker
