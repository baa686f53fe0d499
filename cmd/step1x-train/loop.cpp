#include "loop.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>
#include <torch/serialize/archive.h>
#include <torch/serialize/tensor.h>

#include <chrono>
#include <cmath>
#include <numbers>
#include <string>

namespace step1x::train {

namespace {

constexpr std::int64_t kWarmUp = 200;
constexpr std::int64_t kReport = 50;
constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.98;
constexpr double kEpsilon = 1e-8;

double rate_at(const LoopOptions& options, std::int64_t step) {
  const double rise = std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(kWarmUp));
  const double done = static_cast<double>(step) / static_cast<double>(options.steps);
  return options.rate * rise * (0.01 + 0.99 * 0.5 * (1 + std::cos(std::numbers::pi * done)));
}

std::vector<at::Tensor> zeros_like(const std::vector<at::Tensor>& leaves) {
  std::vector<at::Tensor> zeros;
  zeros.reserve(leaves.size());
  for (const at::Tensor& leaf : leaves) zeros.push_back(at::zeros_like(leaf.detach()));
  return zeros;
}

class State {
 public:
  State(const std::vector<at::Tensor>& leaves, const LoopOptions& options)
      : leaves_(leaves), options_(options), first_moments_(zeros_like(leaves)), second_moments_(zeros_like(leaves)) {
    means_.reserve(leaves.size());
    steps_.reserve(leaves.size());
    for (const at::Tensor& leaf : leaves) {
      means_.push_back(leaf.detach().clone());
      steps_.push_back(at::zeros({}));
    }
    if (std::filesystem::exists(options.state)) load();
  }

  std::int64_t step() const { return step_; }
  const std::vector<at::Tensor>& means() const { return means_; }

  void descend(const at::Tensor& loss) {
    for (const at::Tensor& leaf : leaves_) at::Tensor(leaf).mutable_grad().reset();
    loss.backward();
    const at::NoGradGuard no_gradients;
    std::vector<at::Tensor> gradients;
    gradients.reserve(leaves_.size());
    // What a step did not touch: tensors that only some pictures or prompts need.
    for (const at::Tensor& leaf : leaves_)
      gradients.push_back(leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf));
    const double length = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients))).item<double>();
    if (length > options_.gradient_limit) at::_foreach_mul_(gradients, options_.gradient_limit / length);
    at::_foreach_add_(steps_, 1);
    at::_fused_adamw_(leaves_, gradients, first_moments_, second_moments_, {}, steps_, rate_at(options_, step_), kBeta1,
                      kBeta2, options_.weight_decay, kEpsilon, /*amsgrad=*/false, /*maximize=*/false);
    // Early means would remember the random start.
    const double decay =
        std::min(options_.mean_decay, static_cast<double>(step_ + 1) / static_cast<double>(step_ + 10));
    at::_foreach_lerp_(means_, leaves_, 1 - decay);
    ++step_;
  }

  void save() {
    torch::serialize::OutputArchive archive;
    visit([&](const std::string& name, at::Tensor& tensor) { archive.write(name, tensor.detach()); });
    archive.write("step", at::full({}, step_, at::kLong));
    std::filesystem::path part = options_.state;
    part += ".part";
    archive.save_to(part.string());
    std::filesystem::rename(part, options_.state);
  }

 private:
  void load() {
    torch::serialize::InputArchive archive;
    archive.load_from(options_.state.string());
    const at::NoGradGuard no_gradients;
    visit([&](const std::string& name, at::Tensor& tensor) {
      at::Tensor stored;
      archive.read(name, stored);
      tensor.copy_(stored);
    });
    at::Tensor step;
    archive.read("step", step);
    step_ = step.item<std::int64_t>();
  }

  template <typename Visitor>
  void visit(const Visitor& visitor) {
    for (std::size_t i = 0; i < leaves_.size(); ++i) {
      at::Tensor leaf = leaves_[i];
      visitor("leaf" + std::to_string(i), leaf);
      visitor("mean" + std::to_string(i), means_[i]);
      visitor("first" + std::to_string(i), first_moments_[i]);
      visitor("second" + std::to_string(i), second_moments_[i]);
      visitor("steps" + std::to_string(i), steps_[i]);
    }
  }

  const std::vector<at::Tensor>& leaves_;
  const LoopOptions& options_;
  std::vector<at::Tensor> means_;
  std::vector<at::Tensor> first_moments_;
  std::vector<at::Tensor> second_moments_;
  std::vector<at::Tensor> steps_;
  std::int64_t step_ = 0;
};

}  // namespace

void train(const std::vector<at::Tensor>& leaves, const LoopOptions& options,
           const std::function<at::Tensor(std::int64_t step)>& loss,
           const std::function<void(const std::vector<at::Tensor>& means)>& save) {
  for (const at::Tensor& leaf : leaves) at::Tensor(leaf).set_requires_grad(true);
  State state(leaves, options);
  double sum = 0;
  std::int64_t count = 0;
  auto since = std::chrono::steady_clock::now();
  while (state.step() < options.steps) {
    const at::Tensor now = loss(state.step());
    state.descend(now);
    sum += now.item<double>();
    ++count;
    const bool last = state.step() == options.steps;
    if (state.step() % kReport == 0 || last) {
      const auto end = std::chrono::steady_clock::now();
      const double seconds = std::chrono::duration<double>(end - since).count();
      fmt::print("step {} of {}: loss {:.5f}, {:.3f} s a step\n", state.step(), options.steps,
                 sum / static_cast<double>(count), seconds / static_cast<double>(count));
      std::fflush(stdout);
      since = end;
      sum = 0;
      count = 0;
    }
    if (state.step() % options.save_every == 0 || last) {
      state.save();
      save(state.means());
    }
  }
  save(state.means());
}

}  // namespace step1x::train
