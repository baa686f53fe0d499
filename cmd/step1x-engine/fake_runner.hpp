// Stands in for the model: a picture that visibly depends on prompt and seed and is the same every time, steps that
// take a settable time, and faults at named points (fake_spec.hpp). Its "device memory" is a number.
#pragma once

#include <map>
#include <string>

#include "fake_spec.hpp"
#include "runner.hpp"

namespace step1x::engine {

class FakeRunner : public Runner {
 public:
  explicit FakeRunner(FakeSpec spec) : spec_(std::move(spec)) {}

  Result run(const Job& job, Progress& progress) override;
  void offload(Progress& progress) override;
  // Does what the spec says for this point, at its n-th time. True: the caller is to spoil the result (shrink,
  // garbage).
  bool point(std::string_view name, int nth);
  bool wants(std::string_view name, std::string_view action) const;

 private:
  void load(Progress& progress);
  void sleep(Duration duration, Progress& progress) const;

  FakeSpec spec_;
  bool on_device_ = false;
  std::map<std::string, int, std::less<>> passed_;  // how often each point was reached
};

}  // namespace step1x::engine
