// When an idle worker does what (lib/README.md, Where the model is): pure arithmetic on durations, without a clock, so
// that every edge can be tested.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "base/duration.hpp"
#include "ipc/frame.hpp"

namespace step1x::worker {

// 0 = at once, kNever = never.
struct Timers {
  Duration offload_delay = std::chrono::seconds(0);
  Duration idle_timeout = std::chrono::seconds(60);
  Duration host_timeout = std::chrono::minutes(10);
  Duration exit_timeout = std::chrono::minutes(30);
  bool auto_monitor = true;  // false: idle_timeout, host_timeout and exit_timeout never fire

  // Reads the members that are there over the present values. Throws Error(usage).
  void read(const ipc::Json& object);
};

enum class Location { unloaded, cpu, gpu };
std::string_view name(Location location);

enum class Transition { offload, engine_exit, release, worker_exit };
std::string_view name(Transition transition);

struct Next {
  Transition transition;
  Duration in;  // 0: now
};

// What the decision depends on.
struct Situation {
  bool busy = false;  // a job is running or waiting, or a lease is held
  Location location = Location::unloaded;
  bool engine = false;          // an engine process is alive
  bool arena = false;           // a model is in the host arena
  bool only_on_device = false;  // there is no room for it in RAM: off the device means gone
  bool connected = false;       // somebody other than a status reader holds a connection
  Duration idle{0};             // since the last job ended or the last lease was closed
  Duration quiet{0};            // since the last of: idle began, the last engine ended, the last connection was closed
};

// The transition that comes next if nothing happens, or none.
std::optional<Next> next_transition(const Timers& timers, const Situation& situation);

}  // namespace step1x::worker
