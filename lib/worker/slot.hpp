// One device and the engine process that serves it: starts it when a job comes, runs one job at a time, notices its
// death. Another device's jobs may be given to it when it has none: its engine changes over. Decides nothing about
// queues, timers or retries: that is the Worker's. Loop thread only.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "worker/engine.hpp"
#include "worker/host_arena.hpp"
#include "worker/job.hpp"
#include "worker/timers.hpp"

namespace step1x::worker {

class Slot {
 public:
  struct Events {
    std::function<void(const Job&, const ipc::Json&)> progress;            // `loading`, `step`
    std::function<void(Slot&, std::shared_ptr<Job>, ipc::Message)> ended;  // `done` or `error`
    // The engine, under this job.
    std::function<void(Slot&, std::shared_ptr<Job>, const std::string& how)> died;
    // Its engine asks for the arena of this key, and waits for give_arena(); or says that it has filled it.
    std::function<void(Slot&, const std::string& key, std::uint64_t bytes)> arena_wanted;
    std::function<void(Slot&, std::uint64_t huge_bytes)> arena_filled;
    // Where the engine has the model, or that it has it no longer. `on_purpose`: it did not die.
    std::function<void(Slot&, Location from, bool on_purpose)> moved;
    std::function<void(const ipc::Peer&)> other_build;  // the installed engine is not of our build
    std::function<void()> changed;                      // anything: time to decide anew
  };
  enum class State {
    idle,        // with an engine or without
    starting,    // the engine has not said hello
    replacing,   // the job waits for the end of an engine that does not suit it, or is ending anyway, and then for
                 // another
    loading,     // the engine has the job, and no model yet
    working,     // the engine has the job
    offloading,  // the engine drops the model from the device
    ending,      // the engine, and no other one comes
  };

  Slot(boost::asio::io_context& io, std::string engine_program, Events events);

  // A job may be given to it.
  bool free() const { return !job_ && state_ != State::offloading && state_ != State::ending; }
  // REQUIRES: free(). Starts an engine, or another one, when the present does not suit the job.
  void run(std::shared_ptr<Job> job);
  // The running job ends with an `error` within one transformer block, or the engine is killed.
  void cancel();
  // Drops the model from the device; an engine that does not manage is killed. REQUIRES: free(), location() == gpu.
  void offload();
  // The answer to Events::arena_wanted. Nothing happens when the engine is gone.
  void give_arena(const HostArena::Grant& grant);
  // Ends the engine, whatever it does.
  void end();

  const std::shared_ptr<Job>& job() const { return job_; }
  // Of its last job; "auto" before the first.
  const std::string& device() const { return device_; }
  // What its engine made of that; empty until it says so.
  const std::string& engine_device() const { return engine_device_; }
  // Of the GPU that its engine has taken; empty: none.
  const std::string& gpu_uuid() const { return gpu_uuid_; }
  const std::string& model() const { return model_; }
  Location location() const { return location_; }
  State state() const { return state_; }
  // 0: no engine.
  pid_t engine_pid() const { return engine_ ? engine_->pid() : 0; }
  std::int64_t allocated_bytes() const { return allocated_bytes_; }
  std::int64_t reserved_bytes() const { return reserved_bytes_; }
  // As the engine has it; null: none, or no model on the device.
  const ipc::Json& plan() const { return plan_; }
  const ipc::Json& copies() const { return copies_; }

 private:
  void start_engine();
  void send_job();
  bool engine_has_job() const { return state_ == State::loading || state_ == State::working; }
  void on_message(ipc::Message message);
  void on_memory(const ipc::Json& body);
  void on_exit(const std::string& how);
  void locate(Location location, bool on_purpose);
  void cancelled_before_start();
  // Kills the engine when after so long it has not `answered`.
  void kill_unless(const char* what, std::chrono::seconds patience, std::function<bool()> answered);

  boost::asio::io_context& io_;
  std::string device_ = "auto";
  std::string engine_device_;  // as the engine says; empty until it does
  std::string gpu_uuid_;
  std::string engine_program_;
  Events events_;
  boost::asio::steady_timer patience_;
  std::shared_ptr<Engine> engine_;
  std::string launch_key_;
  std::shared_ptr<Job> job_;
  std::string model_;
  State state_ = State::idle;
  Location location_ = Location::unloaded;
  std::int64_t allocated_bytes_ = 0;
  std::int64_t reserved_bytes_ = 0;
  ipc::Json plan_;
  ipc::Json copies_;
};

std::string_view name(Slot::State state);

}  // namespace step1x::worker
