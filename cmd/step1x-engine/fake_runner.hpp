// Stands in for the model: a picture that visibly depends on prompt and seed and is the same every time, steps that
// take a settable time, and faults at named points (fake_spec.hpp). Its "device memory" is a number, its arena a real
// one.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "engine/runner.hpp"
#include "fake_spec.hpp"
#include "memory/arena.hpp"

namespace step1x::engine {

class FakeRunner : public Runner {
 public:
  // worker_fd: where the action `garbage` goes.
  FakeRunner(FakeSpec spec, int worker_fd) : spec_(std::move(spec)), worker_fd_(worker_fd) {}

  Result run(const Job& job, Progress& progress) override;
  void offload(Progress& progress) override;
  // Does what the spec says for this point, at its n-th time. True: the caller is to spoil the result (shrink).
  bool point(std::string_view name, int nth);

 private:
  void load(const Job& job, Progress& progress);
  void load_part(int part, Progress& progress);
  bool use_arena(const Job& job, Progress& progress);
  void sleep(Duration duration, Progress& progress) const;

  FakeSpec spec_;
  int worker_fd_;
  bool on_device_ = false;
  std::optional<ArenaMapping> arena_;
  std::map<std::string, int, std::less<>> passed_;  // how often each point was reached
};

}  // namespace step1x::engine
