#include "worker/gpu_monitor.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "gpu/nvml.hpp"

namespace step1x::worker {

struct GpuMonitor::State {
  std::string library;
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::vector<Subject> subjects;
  std::vector<std::pair<Subject, Reading>> readings;
  bool running = false;

  void run();
  std::vector<std::pair<Subject, Reading>> read(const Nvml& nvml, const std::vector<Subject>& wanted) const;
};

std::vector<std::pair<GpuMonitor::Subject, GpuMonitor::Reading>> GpuMonitor::State::read(
    const Nvml& nvml, const std::vector<Subject>& wanted) const {
  std::vector<std::pair<Subject, Reading>> result;
  const std::vector<Gpu> gpus = nvml.gpus();
  for (const Subject& subject : wanted) {
    const auto gpu = std::ranges::find(gpus, subject.uuid, &Gpu::uuid);
    if (gpu == gpus.end()) continue;
    result.emplace_back(subject, Reading{gpu->total_bytes, gpu->free_bytes, nvml.used_by(subject.uuid, subject.pid),
                                         std::chrono::steady_clock::now()});
  }
  return result;
}

void GpuMonitor::State::run() {
  constexpr std::chrono::seconds kTurn{1};
  const std::optional<Nvml> nvml = Nvml::open(library.c_str());
  std::unique_lock lock(mutex);
  while (!subjects.empty()) {
    const std::vector<Subject> wanted = subjects;
    if (nvml) {
      lock.unlock();
      auto fresh = read(*nvml, wanted);
      lock.lock();
      readings = std::move(fresh);
    }
    changed.wait_for(lock, kTurn, [&] { return subjects != wanted; });
  }
  readings.clear();
  running = false;
}

GpuMonitor::GpuMonitor(std::string library) : state_(std::make_shared<State>()) {
  state_->library = std::move(library);
}

GpuMonitor::~GpuMonitor() {
  watch({});
}

void GpuMonitor::watch(std::vector<Subject> subjects) {
  const std::lock_guard lock(state_->mutex);
  state_->subjects = std::move(subjects);
  state_->changed.notify_all();
  if (state_->subjects.empty() || std::exchange(state_->running, true)) return;
  std::thread([state = state_] { state->run(); }).detach();
}

std::optional<GpuMonitor::Reading> GpuMonitor::reading(const Subject& subject) const {
  const std::lock_guard lock(state_->mutex);
  const auto found = std::ranges::find(state_->readings, subject, &std::pair<Subject, Reading>::first);
  return found == state_->readings.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace step1x::worker
