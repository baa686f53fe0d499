// A model that an engine has opened, and where its weights are: in the worker's host arena, on the device, or in both.
// Main thread only. Errors: Error(model_missing) from its files, Error(out_of_memory), and what `progress` throws;
// after an error the model is where it was before, but for an arena that this one was to fill, which is then given up.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "memory/arena.hpp"
#include "memory/device_memory.hpp"
#include "model/pipeline.hpp"
#include "model/placement.hpp"
#include "runner.hpp"

namespace step1x::engine {

class ResidentModel {
 public:
  // Opens and checks its files.
  explicit ResidentModel(const Job& job);

  // The job names this model and device, and its files are those that were opened.
  bool serves(const Job& job) const;
  // To the device. Nothing happens when it is there.
  void load(Progress& progress);
  // From the device; the arena stays. A device without memory of its own has nothing to drop.
  void offload();

  // REQUIRES: load() has returned, and no offload() since.
  const Pipeline& pipeline() const { return *pipeline_; }
  const DeviceMemory& memory() const { return memory_; }
  // "Unloaded", "CPU" or "GPU".
  const char* location() const;

 private:
  // One of the three parts of the model, in the arena's order.
  struct Part {
    const Checkpoint* checkpoint;
    Placement placement;
    std::uint64_t offset;  // in the arena
  };
  class Loading;

  std::string key() const;
  void fill_arena(UniqueFd fd, std::vector<at::Tensor>& device, Loading& loading, Progress& progress);
  void copy_arena(std::vector<at::Tensor>& device, Loading& loading) const;
  void fill_device(std::vector<at::Tensor>& device, Loading& loading) const;

  std::string model_;
  std::string device_;  // as the job names it
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
  std::unique_ptr<const Pipeline> pipeline_;
};

}  // namespace step1x::engine
