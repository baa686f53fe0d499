// How the time of a denoising step on a GPU is spread over libtorch's operators: each call stands between two events of
// its stream, and what belongs to the calls within it is taken off. The events cost the GPU a microsecond or two each,
// and where it waits for the host the waiting is counted too: of small pictures the sum says more about the host.
//
// Usage: bench_operator_times MODEL cuda:N SIZE STEPS
//
// The whole model is on the device. Prints one JSON object a line: {"what", "value", "unit", "calls", "share"}, the
// operators by what a step spends in them, and last their sum beside the step's own time.
#include <ATen/Context.h>
#include <ATen/record_function.h>
#include <c10/core/Event.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <exception>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "model/pipeline.hpp"
#include "support/open_gpu.hpp"

namespace {

using namespace step1x;
using Clock = std::chrono::steady_clock;

class Operators {
 public:
  explicit Operators(at::Device device) : device_(device) { recording_ = this; }
  ~Operators() { stop(); }
  Operators(const Operators&) = delete;
  Operators& operator=(const Operators&) = delete;

  void start() {
    handle_ = at::addGlobalCallback(
        at::RecordFunctionCallback(&Operators::begin, &Operators::end).scopes({at::RecordScope::FUNCTION}));
  }
  void stop() {
    if (handle_ != at::INVALID_CALLBACK_HANDLE) at::removeCallback(handle_);
    handle_ = at::INVALID_CALLBACK_HANDLE;
  }

  struct Sum {
    std::string name;
    double milliseconds = 0;
    int calls = 0;
  };
  // REQUIRES: the device has done everything.
  std::vector<Sum> sums() const {
    std::map<std::string, Sum> by_name;
    for (const Call& call : calls_) {
      const double whole = call.first.elapsedTime(call.last);
      Sum& sum = by_name[call.name];
      sum.milliseconds += whole;
      sum.calls += 1;
      if (call.within != nullptr) by_name[call.within->name].milliseconds -= whole;
    }
    std::vector<Sum> result;
    for (auto& [name, sum] : by_name) result.push_back({name, sum.milliseconds, sum.calls});
    std::ranges::sort(result, std::greater(), &Sum::milliseconds);
    return result;
  }

 private:
  struct Call {
    std::string name;
    const Call* within;
    c10::Event first{at::kCUDA, c10::EventFlag::BACKEND_DEFAULT};
    c10::Event last{at::kCUDA, c10::EventFlag::BACKEND_DEFAULT};
  };
  struct Context : at::ObserverContext {
    Call* call = nullptr;
  };

  void mark(c10::Event& event) const { event.record(c10::impl::VirtualGuardImpl(at::kCUDA).getStream(device_)); }

  // libtorch takes no closures here. Other threads' calls would be on streams of their own.
  static std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
    Operators& self = *recording_;
    if (std::this_thread::get_id() != self.thread_) return nullptr;
    self.calls_.push_back({.name = function.name(), .within = self.now_});
    auto context = std::make_unique<Context>();
    context->call = self.now_ = &self.calls_.back();
    self.mark(context->call->first);
    return context;
  }
  static void end(const at::RecordFunction&, at::ObserverContext* context) {
    if (context == nullptr) return;
    Call& call = *static_cast<Context*>(context)->call;
    recording_->mark(call.last);
    recording_->now_ = const_cast<Call*>(call.within);
  }

  static inline Operators* recording_ = nullptr;
  at::Device device_;
  std::thread::id thread_ = std::this_thread::get_id();
  at::CallbackHandle handle_ = at::INVALID_CALLBACK_HANDLE;
  std::deque<Call> calls_;  // none of them moves
  Call* now_ = nullptr;
};

void run(const std::string& model, at::Device device, int size, int steps) {
  const c10::InferenceMode no_gradients;
  const c10::impl::VirtualGuardImpl guard(device.type());
  const Pipeline pipeline(find_layout(model), {device, at::kBFloat16});
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(size) * static_cast<std::size_t>(size) * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i % 251);
  const RgbView picture{size, size, pixels};
  JobOptions job;
  job.prompt = "make the sky purple";
  job.steps = 1;
  pipeline.edit(picture, size, job);

  job.steps = steps;
  // Without the events first: what they cost shows as the difference.
  double plain = 0;
  Clock::time_point start;
  Operators operators(device);
  for (const bool recorded : {false, true}) {
    job.observe = [&](std::string_view name, const at::Tensor&) {
      if (name != "transformer") return;
      guard.synchronizeDevice(device.index());
      start = Clock::now();
      if (recorded) operators.start();
    };
    job.denoise.after_step = [&](int step, const at::Tensor&, const at::Tensor&) {
      if (step + 1 < steps) return;
      operators.stop();
      guard.synchronizeDevice(device.index());
      if (!recorded) plain = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    };
    pipeline.edit(picture, size, job);
  }
  const std::vector<Operators::Sum> sums = operators.sums();
  double all = 0;
  for (const auto& sum : sums) all += sum.milliseconds;
  for (const auto& sum : sums) {
    fmt::print("{}\n", nlohmann::json{{"what", sum.name},
                                      {"value", sum.milliseconds / steps},
                                      {"unit", "ms"},
                                      {"calls", sum.calls / steps},
                                      {"share", all > 0 ? sum.milliseconds / all : 0}}
                           .dump());
  }
  fmt::print("{}\n",
             nlohmann::json{{"what", "all operators of a step"}, {"value", all / steps}, {"unit", "ms"}}.dump());
  fmt::print("{}\n",
             nlohmann::json{{"what", "a step without the events"}, {"value", plain / steps}, {"unit", "ms"}}.dump());
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5) {
    fmt::print(stderr, "usage: bench_operator_times MODEL cuda:N SIZE STEPS\n");
    return 2;
  }
  const at::Device device = test::open_gpu(argv[2]);
  run(argv[1], device, std::stoi(argv[3]), std::stoi(argv[4]));
  return 0;
} catch (const c10::Error& error) {
  fmt::print(stderr, "bench_operator_times: {}\n", error.what_without_backtrace());
  return 1;
} catch (const std::exception& error) {
  fmt::print(stderr, "bench_operator_times: {}\n", error.what());
  return 1;
}
