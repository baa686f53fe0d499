// A model that an engine has opened, and where its weights are: in the worker's host arena, on the device (all of them,
// or by a plan that has parts of them there in turns), or in both. Main thread only. Errors: Error(model_missing) from
// its files, Error(out_of_memory), and what `progress` throws; after an error nothing of it is on the device, and an
// arena that this one was to fill is given up.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/device_copy.hpp"
#include "device/device_memory.hpp"
#include "device/host_registration.hpp"
#include "engine/devices.hpp"
#include "engine/runner.hpp"
#include "memory/arena.hpp"
#include "memory/planner.hpp"
#include "model/pipeline.hpp"
#include "nn/device_part.hpp"
#include "nn/placement.hpp"

namespace step1x::engine {

class ResidentModel {
 public:
  // Opens and checks its files.
  explicit ResidentModel(const Job& job) : ResidentModel(job, find_device(job.device)) {}
  ResidentModel(ResidentModel&&) = default;
  ResidentModel& operator=(ResidentModel&&) = delete;

  // The job names this model and device, and its files are those that were opened. Where it leaves the choice of a GPU,
  // and the model is on none, another one may have more memory free now.
  bool serves(const Job& job) const;
  // Ready for the job, by the plan that its size and wishes call for, or by `instead`. Nothing happens when it is.
  // `progress` must live as long as pipeline() is used, for that brings parts to the device as it needs them.
  void load(const Job& job, Progress& progress, std::optional<PlanKind> instead = {});
  // From the device; the arena stays. A device without memory of its own has nothing to drop.
  void offload();

  // REQUIRES: load() has returned, and no offload() since.
  const Pipeline& pipeline() const { return *pipeline_; }
  const DeviceMemory& memory() const { return memory_; }
  MemoryReport report() const;
  // By which the last load was tried; none on a device without memory of its own.
  const std::optional<Plan>& plan() const { return plan_; }

 private:
  ResidentModel(const Job& job, Device device);
  // One of the three parts of the model, in the order of ModelPart, which is the arena's.
  struct Part {
    const Checkpoint* checkpoint;
    Placement placement;
    std::uint64_t offset;  // in the arena
  };
  // What a plan depends on, besides the device.
  struct Wishes {
    std::string plan;
    std::optional<std::int64_t> max_vram;
    int size = 0;
    int steps = 0;
    bool tiled = false;
    bool operator==(const Wishes&) const = default;
  };
  class Loading;

  std::string key() const;
  void wait_for_memory(const Job& job, const Wishes& wishes, Progress& progress) const;
  Plan choose(const Wishes& wishes, std::optional<PlanKind> instead) const;
  static HostPart host_part(const Part& part, const std::shared_ptr<const ArenaMapping>& arena);
  void place(Progress& progress);
  Placement::Cache cache() const;
  void fill_arena(UniqueFd fd, std::vector<at::Tensor>& device, Loading& loading, Progress& progress);
  void pin_arena();
  void copy_arena(std::vector<at::Tensor>& device, Loading& loading) const;
  void fill_device(std::vector<at::Tensor>& device, Loading& loading) const;
  WeightsSource whole_source(const std::vector<at::Tensor>& device) const;
  WeightsSource source_in_turns(const at::Tensor& vae) const;

  std::string model_;
  std::string device_;  // as the job names it
  std::string uuid_;    // see Device
  DeviceMemory memory_;
  std::shared_ptr<const ModelFiles> files_;
  std::vector<std::filesystem::path> watched_;
  std::string stamp_;
  at::ScalarType dtype_;
  std::vector<Part> parts_;
  std::uint64_t bytes_ = 0;  // of the arena
  // The worker has no arena for it. Not asked again: what is private to this engine would be in memory twice.
  bool refused_ = false;
  std::shared_ptr<const ArenaMapping> arena_;
  std::unique_ptr<HostRegistration> pinned_;  // the arena, once something was copied from it to a GPU
  Wishes planned_for_;
  std::optional<Plan> plan_;
  // Of the job that is running; shared with the pipeline.
  std::shared_ptr<Placement::BlockHook> check_ = std::make_shared<Placement::BlockHook>();
  std::unique_ptr<const Pipeline> pipeline_;
  std::optional<ipc::Lock> gpu_lock_;  // while anything of the model is there
};

}  // namespace step1x::engine
