// The `status` event (ipc/protocol.md, section 6). Reads, measures nothing that takes time, changes nothing.
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/version.hpp"
#include "ipc/hello.hpp"
#include "worker/worker.hpp"

namespace step1x::worker {
namespace {

double gib(std::int64_t bytes) {
  return static_cast<double>(bytes) / (1LL << 30);
}

std::int64_t rss_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t total = 0;
  std::int64_t resident = 0;
  file >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

ipc::Json driver_json(const std::optional<GpuMonitor::Reading>& reading) {
  if (!reading) return nullptr;
  const auto age = std::chrono::steady_clock::now() - reading->at;
  return {{"total_bytes", reading->total_bytes},
          {"free_bytes", reading->free_bytes},
          {"process_bytes", reading->process_bytes ? ipc::Json(*reading->process_bytes) : ipc::Json()},
          {"age", std::chrono::duration<double>(age).count()}};
}

ipc::Json device_json(const Slot& slot, const Fleet& fleet) {
  const bool engine = slot.engine_pid() != 0;
  return {{"device", slot.engine_device().empty() ? slot.device() : slot.engine_device()},
          {"pid", engine ? ipc::Json(slot.engine_pid()) : ipc::Json()},
          {"location", name(slot.location())},
          {"state", name(slot.state())},
          {"uuid", slot.gpu_uuid().empty() ? ipc::Json() : ipc::Json(slot.gpu_uuid())},
          {"gpu_context", engine && (slot.location() == Location::gpu || !slot.gpu_uuid().empty())},
          {"driver", driver_json(fleet.driver(slot))},
          {"allocated_bytes", slot.allocated_bytes()},
          {"reserved_bytes", slot.reserved_bytes()},
          {"plan", slot.plan()},
          {"copies", slot.copies()},
          {"model", slot.model().empty() ? ipc::Json() : ipc::Json(slot.model())},
          {"job", slot.job() ? ipc::Json(slot.job()->number) : ipc::Json()}};
}

}  // namespace

ipc::Json Worker::status() const {
  const Situation now = situation();
  const auto next = phase_ == Phase::leaving ? std::nullopt : next_transition(timers_, now);
  std::int64_t allocated = 0;
  std::int64_t reserved = 0;
  for (const auto& slot : fleet_.slots()) {
    allocated += slot->allocated_bytes();
    reserved += slot->reserved_bytes();
  }
  const auto leases =
      std::count_if(sessions_.begin(), sessions_.end(), [](const auto& s) { return s->lease.has_value(); });
  ipc::Json body = {{"event", "status"},
                    {"model_location", name(fleet_.location())},
                    {"state", name(fleet_.state())},
                    {"idle_time", busy() ? 0.0 : in_seconds(now.idle)},
                    {"gpu_memory_allocated_gb", gib(allocated)},
                    {"gpu_memory_reserved_gb", gib(reserved)},
                    {"statistics",
                     {{"total_loads", statistics_.total_loads},
                      {"gpu_to_cpu", statistics_.gpu_to_cpu},
                      {"cpu_to_gpu", statistics_.cpu_to_gpu},
                      {"full_releases", statistics_.full_releases}}},
                    {"queue",
                     {{"running", fleet_.running()},
                      {"waiting", queue_.size()},
                      {"leases", leases},
                      {"done", statistics_.done},
                      {"failed", statistics_.failed},
                      {"cancelled", statistics_.cancelled},
                      {"engine_deaths", statistics_.engine_deaths}}},
                    {"timers",
                     {{"offload_delay", in_seconds(timers_.offload_delay)},
                      {"idle_timeout", in_seconds(timers_.idle_timeout)},
                      {"host_timeout", in_seconds(timers_.host_timeout)},
                      {"exit_timeout", in_seconds(timers_.exit_timeout)},
                      {"auto_monitor", timers_.auto_monitor},
                      {"set_by_pid", timers_set_by_ == 0 ? ipc::Json() : ipc::Json(timers_set_by_)}}},
                    {"next", next ? ipc::Json{{"transition", name(next->transition)}, {"seconds", in_seconds(next->in)}}
                                  : ipc::Json()}};
  body["arena"] = fleet_.arena().status();
  const std::string& refusal = fleet_.arena().refusal();
  body["arena_refused"] = refusal.empty() ? ipc::Json() : ipc::Json(refusal);
  // Lists made apart: in one initializer an array of one object would become that object.
  body["devices"] = ipc::Json::array();
  for (const auto& slot : fleet_.slots()) body["devices"].push_back(device_json(*slot, fleet_));
  body["worker"] = ipc::hello("event");
  for (const char* greeting : {"event", "magic"}) body["worker"].erase(greeting);
  body["worker"]["uptime"] = in_seconds(boot_now() - started_at_);
  body["worker"]["directory"] = directory_.path().string();
  body["worker"]["rss_bytes"] = rss_bytes();
  body["worker"]["connections"] = sessions_.size();
  body["worker"]["limits"] = options_.limits;
  return body;
}

}  // namespace step1x::worker
