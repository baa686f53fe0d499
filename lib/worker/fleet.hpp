// The devices: a slot for each that has had work while the others were busy, the host arena that they share, and the
// model in it. Gives each job to the slot that suits it, arbitrates who fills the arena, and knows where the model is
// as a whole. Keeps no queue, no clients and no timers, and decides on no move of the model: that is the Worker's.
// Loop thread only. The events come from within its own calls, but for `changed`, which comes from the loop.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "worker/gpu_monitor.hpp"
#include "worker/host_arena.hpp"
#include "worker/placing.hpp"
#include "worker/slot.hpp"

namespace step1x::worker {

// Of the model, as it is counted.
enum class Move { load, to_gpu, to_cpu, release };

class Fleet {
 public:
  struct Events {
    std::function<void(const Job&, const ipc::Json&)> progress;              // `loading`, `step`
    std::function<void(const std::shared_ptr<Job>&, ipc::Message)> ended;    // `done` or `error`
    std::function<void(std::shared_ptr<Job>, const std::string& how)> died;  // the engine, under this job
    std::function<void(std::optional<Move>)> moved;                          // none: lost by the death of an engine
    std::function<void(const ipc::Peer&)> other_build;                       // the installed engine is not of ours
    std::function<void()> changed;                                           // anything: time to decide anew
  };

  Fleet(boost::asio::io_context& io, std::string engine_program, Events events);

  FleetView view() const;
  // REQUIRES: fit() says `now` of the job.
  void run(std::shared_ptr<Job> job);
  // False when no slot has it.
  bool cancel(const Job& job);
  // Those that the slots have.
  std::vector<std::shared_ptr<Job>> jobs() const;
  std::size_t running() const;

  // Takes the model off the devices. REQUIRES: settled().
  void offload_all();
  void end_all();
  // The arena's model too.
  void release();
  // The same when all engines have ended, and waits until the memory is free.
  void drop_arena();
  // Lets go of slots that serve nothing, and reads the GPUs of the others. Called after everything that happens.
  void tidy();

  // No device has a job, or is being left.
  bool settled() const;
  bool has_engine() const;
  // Of the model as a whole.
  Location location() const;
  // Of the slot that is busiest with moving the model.
  Slot::State state() const;
  const std::string& loaded_model() const { return loaded_model_; }
  const HostArena& arena() const { return arena_; }
  // At least one.
  const std::vector<std::unique_ptr<Slot>>& slots() const { return slots_; }
  std::optional<GpuMonitor::Reading> driver(const Slot& slot) const;

 private:
  Slot::Events slot_events();
  void add_slot();
  void watch_gpus();
  void post_changed();

  // Who gets the arena (fleet_arena.cpp)
  void want_arena(Slot& slot, const std::string& key, std::uint64_t bytes);
  void filler_ended(const Slot& slot);
  void serve_waiting();

  // Where the model is (fleet_moves.cpp)
  void slot_moved(const Slot& slot, Location from, bool on_purpose);
  void relocate(bool on_purpose);

  boost::asio::io_context& io_;
  std::string engine_program_;
  Events events_;
  HostArena arena_;
  struct Waiting {
    Slot* slot;
    std::string key;
    std::uint64_t bytes;
  };
  std::vector<Waiting> waiting_;  // for the arena that another one fills
  std::vector<std::unique_ptr<Slot>> slots_;
  std::string loaded_model_;                // see FleetView
  Location location_ = Location::unloaded;  // what location() was when it was looked at last
  GpuMonitor gpu_monitor_;
};

}  // namespace step1x::worker
