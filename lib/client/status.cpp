#include "client/status.hpp"

#include "client/ask.hpp"

namespace step1x::client {
namespace {

// What a worker would say, if there were one.
ipc::Json no_worker() {
  return {{"model_location", "Unloaded"},
          {"state", "Idle"},
          {"idle_time", 0.0},
          {"gpu_memory_allocated_gb", 0.0},
          {"gpu_memory_reserved_gb", 0.0},
          {"statistics", {{"total_loads", 0}, {"gpu_to_cpu", 0}, {"cpu_to_gpu", 0}, {"full_releases", 0}}},
          {"worker", nullptr},
          {"queue", {{"running", 0}, {"waiting", 0}, {"leases", 0}}},
          {"devices", ipc::Json::array()},
          {"arena", nullptr},
          {"arena_refused", nullptr},
          {"next", nullptr}};
}

ipc::Json ask_for_status(const ipc::ClientOptions& options) {
  const auto deadline = std::chrono::steady_clock::now() + options.timeout;
  for (;;) {
    std::optional<ipc::Client> client = ipc::Client::connect(options);
    if (!client) return no_worker();
    std::optional<ipc::Json> status = ask(*client, {{"op", "status"}}, deadline);
    // It was just leaving: now there is none, or the next one.
    if (!status) continue;
    status->erase("event");
    status->erase("id");
    return std::move(*status);
  }
}

// The keys that monitoring scripts of the Python server know come first.
nlohmann::ordered_json in_order(const ipc::Json& status) {
  nlohmann::ordered_json out;
  for (const char* key : {"model_location", "idle_time", "gpu_memory_allocated_gb", "gpu_memory_reserved_gb",
                          "statistics", "state", "worker", "queue", "devices"}) {
    if (status.contains(key)) out[key] = status[key];
  }
  for (const auto& [key, value] : status.items()) out[key] = value;
  return out;
}

}  // namespace

nlohmann::ordered_json read_status(const ipc::ClientOptions& options) {
  return in_order(ask_for_status(options));
}

}  // namespace step1x::client
