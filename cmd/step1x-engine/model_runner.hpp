// Runs jobs with the model: loads what the job names, keeps it for the next one, computes on one device.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "model/pipeline.hpp"
#include "runner.hpp"

namespace step1x::engine {

class ModelRunner : public Runner {
 public:
  Result run(const Job& job, Progress& progress) override;
  void offload(Progress& progress) override;

 private:
  struct Loaded {
    std::string model;
    std::string device;  // as the job named it
    PipelineOptions options;
    std::unique_ptr<const Pipeline> pipeline;
  };

  void load(const Job& job, Progress& progress);
  Result compute(const Job& job, Progress& progress) const;
  void report_memory(Progress& progress) const;

  std::optional<Loaded> loaded_;
};

}  // namespace step1x::engine
