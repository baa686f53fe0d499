// The resident worker: takes requests, keeps the queue, gives jobs to engines, moves the model by the timers
// (lib/README.md, Where the model is), and answers `status` at any moment. Holds no pixel and no weight. One thread:
// that of the loop; nothing here blocks.
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
#include "worker/gpu_monitor.hpp"
#include "worker/host_arena.hpp"
#include "worker/queue.hpp"
#include "worker/session.hpp"
#include "worker/slot.hpp"
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
};

class Worker {
 public:
  // REQUIRES: `lock` is the worker lock of `directory`; both outlive the worker.
  Worker(boost::asio::io_context& io, const ipc::Directory& directory, const ipc::Lock& lock, WorkerOptions options);

  // For the status reader.
  ipc::Json status() const;

 private:
  enum class Mode { refuse, wait, force };

  // Life (worker.cpp)
  void connect(UniqueFd socket);
  void disconnect(Session& session);
  void update();
  bool dispatch();
  Queue::Fit fit(const Job& job) const;
  std::optional<std::size_t> place_for(const Job& job) const;
  void act(Transition transition);
  void leave(const std::string& reason);
  void end_when_alone();
  void leave_at_signals();
  void leave_with_process(pid_t pid);
  bool busy() const;
  Duration courtesy() const;
  Situation situation() const;

  // Requests (requests.cpp)
  void receive(const std::shared_ptr<Session>& session, ipc::Message message);
  void greet(Session& session, const ipc::Json& body);
  void handle(const std::shared_ptr<Session>& session, const std::string& op, ipc::Message message);
  void enqueue(const std::shared_ptr<Session>& session, ipc::Message message);
  void cancel(Job& job);
  void cancel_all();
  // Runs `action` when nothing is in the way: now, later or never, as the request's mode says.
  void when_free(const std::shared_ptr<Session>& session, const ipc::Json& body, const std::string& op,
                 std::function<void()> action);
  void offload(const std::weak_ptr<Session>& session, std::int64_t id);
  void release(const std::weak_ptr<Session>& session, std::int64_t id);
  std::string in_the_way() const;

  // Slot events (jobs.cpp)
  Slot::Events slot_events();
  void job_ended(Slot& slot, const std::shared_ptr<Job>& job, ipc::Message message);
  void job_died(Slot& slot, std::shared_ptr<Job> job, const std::string& how);
  void forget(const Job& job);
  void relocate(bool on_purpose);
  void count_move(const Slot& slot, Location from, bool on_purpose);
  void free_arena();
  void announce_positions();

  // The host arena and who waits for it (arena.cpp)
  void want_arena(Slot& slot, const std::string& key, std::uint64_t bytes);
  void filler_ended(const Slot& slot);
  void serve_waiting();

  // All slots together (slots.cpp)
  std::size_t running() const;
  bool settled() const;
  bool has_engine() const;
  Slot* slot_of(const Job& job) const;
  Location location() const;
  Slot::State state() const;
  void watch_gpus();
  void offload_all();
  void end_all();

  boost::asio::io_context& io_;
  const ipc::Directory& directory_;
  WorkerOptions options_;
  ipc::Server server_;
  boost::asio::signal_set signals_;
  BootTimer timer_;
  boost::asio::steady_timer farewell_;
  std::list<std::shared_ptr<Session>> sessions_;
  Queue queue_;
  HostArena arena_;
  struct Waiting {
    Slot* slot;
    std::string key;
    std::uint64_t bytes;
  };
  std::vector<Waiting> waiting_;  // for the arena that another one fills
  // One for each device that has had work while the others were busy; at least one.
  std::vector<std::unique_ptr<Slot>> slots_;
  std::string loaded_model_;                // of the last job that was given to an engine; empty when nothing is loaded
  Location location_ = Location::unloaded;  // what location() was when it was looked at last
  GpuMonitor gpu_monitor_;
  Timers timers_;
  int timers_set_by_ = 0;
  Statistics statistics_;
  std::uint64_t next_number_ = 1;
  Duration started_at_;
  Duration idle_since_;   // the last job ended, or the last lease was closed
  Duration quiet_since_;  // see Situation::quiet
  // What `--wait` requests wait to do, in order; each checks itself whether its client is still there.
  std::list<std::function<void()>> when_idle_;
  // Called once the slot has settled after an offload or a release that somebody waits for.
  std::list<std::function<bool()>> when_settled_;
  bool announcing_ = false;  // of positions in the queue
  bool leaving_ = false;
  bool greeted_one_ = false;  // of our protocol
  bool unreachable_ = false;  // the socket's file is gone or another's: nobody new can come
};

}  // namespace step1x::worker
