// Runs jobs with the model: loads what the job names, keeps it for the next one, computes on one device.
#pragma once

#include <optional>
#include <variant>

#include "engine/resident_model.hpp"
#include "engine/runner.hpp"

namespace step1x::engine {

class ModelRunner : public Runner {
 public:
  Result run(const Job& job, Progress& progress) override;
  void offload(Progress& progress) override;

 private:
  std::variant<Result, Error> attempt(const Job& job, Progress& progress, std::optional<PlanKind> instead);
  std::optional<PlanKind> plan_after(const std::variant<Result, Error>& outcome, const Job& job) const;
  void load(const Job& job, Progress& progress, std::optional<PlanKind> instead);
  Result compute(const Job& job, Progress& progress) const;
  void report_memory(Progress& progress) const;

  std::optional<ResidentModel> model_;
};

}  // namespace step1x::engine
