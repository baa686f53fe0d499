#include "worker/fleet.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "memory/available.hpp"

namespace step1x::worker {
namespace {

SlotView view_of(const Slot& slot) {
  using Use = SlotView::Use;
  return {slot.job()    ? Use::working
          : slot.free() ? Use::free
                        : Use::moving,
          slot.device(), slot.engine_device(), slot.gpu_uuid()};
}

}  // namespace

Fleet::Fleet(boost::asio::io_context& io, std::string engine_program, Events events)
    : io_(io),
      engine_program_(std::move(engine_program)),
      events_(std::move(events)),
      arena_({[] { return available_memory(); }, [this] { post_changed(); }}) {
  add_slot();
}

void Fleet::add_slot() {
  slots_.push_back(std::make_unique<Slot>(io_, engine_program_, slot_events()));
}

// Never from within a slot's own call: what is decided then may change it. From any thread.
void Fleet::post_changed() {
  boost::asio::post(io_, [this] { events_.changed(); });
}

Slot::Events Fleet::slot_events() {
  Slot::Events events;
  events.progress = events_.progress;
  events.ended = [this](Slot& slot, const std::shared_ptr<Job>& job, ipc::Message message) {
    filler_ended(slot);
    relocate(/*on_purpose=*/true);
    // Which one `auto` came to be.
    if (message.body.value("event", "") == "done")
      message.body["device"] = slot.engine_device().empty() ? slot.device() : slot.engine_device();
    events_.ended(job, std::move(message));
  };
  events.died = [this](Slot& slot, std::shared_ptr<Job> job, const std::string& how) {
    filler_ended(slot);
    relocate(/*on_purpose=*/false);
    events_.died(std::move(job), how);
  };
  events.arena_wanted = [this](Slot& slot, const std::string& key, std::uint64_t bytes) {
    want_arena(slot, key, bytes);
  };
  events.arena_filled = [this](Slot&, std::uint64_t huge_bytes) {
    arena_.filled(huge_bytes);
    serve_waiting();
  };
  events.moved = [this](Slot& slot, Location from, bool on_purpose) {
    slot_moved(slot, from, on_purpose);
    watch_gpus();
  };
  events.other_build = events_.other_build;
  events.changed = [this] { post_changed(); };
  return events;
}

FleetView Fleet::view() const {
  FleetView view{{}, loaded_model_};
  for (const auto& slot : slots_) view.slots.push_back(view_of(*slot));
  return view;
}

void Fleet::run(std::shared_ptr<Job> job) {
  const std::size_t place = place_for(job->device, view().slots).value();
  if (place == slots_.size()) add_slot();
  loaded_model_ = job->model;
  slots_[place]->run(std::move(job));
}

bool Fleet::cancel(const Job& job) {
  const auto slot = std::ranges::find_if(slots_, [&](const auto& each) { return each->job().get() == &job; });
  if (slot == slots_.end()) return false;
  (*slot)->cancel();
  // So that it learns of that now, and not when another one has filled the arena.
  serve_waiting();
  return true;
}

std::vector<std::shared_ptr<Job>> Fleet::jobs() const {
  std::vector<std::shared_ptr<Job>> jobs;
  for (const auto& slot : slots_) {
    if (slot->job()) jobs.push_back(slot->job());
  }
  return jobs;
}

std::size_t Fleet::running() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(slots_, [](const auto& slot) { return slot->job() != nullptr; }));
}

void Fleet::offload_all() {
  for (const auto& slot : slots_) {
    if (slot->location() == Location::gpu) slot->offload();
  }
}

void Fleet::end_all() {
  for (const auto& slot : slots_) slot->end();
}

void Fleet::release() {
  if (arena_.holds_model()) {
    arena_.drop();
    relocate(/*on_purpose=*/true);
  }
  end_all();
}

void Fleet::drop_arena() {
  arena_.drop_and_wait();
}

void Fleet::tidy() {
  // A device's engine that has ended leaves nothing behind; one slot stays for the next job.
  const auto unused = [this](const auto& slot) { return slots_.size() > 1 && slot->free() && slot->engine_pid() == 0; };
  for (auto it = slots_.begin(); it != slots_.end();) it = unused(*it) ? slots_.erase(it) : it + 1;
  watch_gpus();
}

// The context of an engine takes memory also when the model has gone from there.
void Fleet::watch_gpus() {
  std::vector<GpuMonitor::Subject> subjects;
  for (const auto& slot : slots_) {
    if (slot->engine_pid() != 0 && !slot->gpu_uuid().empty())
      subjects.push_back({slot->gpu_uuid(), slot->engine_pid()});
  }
  gpu_monitor_.watch(std::move(subjects));
}

std::optional<GpuMonitor::Reading> Fleet::driver(const Slot& slot) const {
  return gpu_monitor_.reading({slot.gpu_uuid(), slot.engine_pid()});
}

bool Fleet::settled() const {
  return std::ranges::all_of(slots_, [](const auto& slot) { return slot->free(); });
}

bool Fleet::has_engine() const {
  return std::ranges::any_of(slots_, [](const auto& slot) { return slot->engine_pid() != 0; });
}

}  // namespace step1x::worker
