#include "engine/model_runner.hpp"

#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <stdexcept>

#include "base/error.hpp"
#include "base/process.hpp"

namespace step1x::engine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::optional<GuidanceDamping> damping_of(const std::string& name) {
  if (name == "all") return GuidanceDamping::all;
  if (name == "early") return GuidanceDamping::early;
  if (name == "off") return GuidanceDamping::off;
  return std::nullopt;
}

// Without its advice, which names a variable that no engine is given.
std::string said(const c10::OutOfMemoryError& error) {
  const std::string text = one_line(error.what_without_backtrace());
  return text.substr(0, text.find(" If reserved but unallocated"));
}

UniqueFd sealed(const Picture& picture) {
  ipc::PictureWriter writer(picture.size.width, picture.size.height);
  std::ranges::copy(std::as_bytes(std::span(picture.rgb)), writer.pixels().begin());
  return writer.seal();
}

}  // namespace

void ModelRunner::load(const Job& job, Progress& progress, std::optional<PlanKind> instead) {
  // Only opened: of two models the weights are never there at a time.
  if (!model_ || !model_->serves(job)) {
    ResidentModel next(job);
    // What the old one has ends in the order of its destructor, which is not that of an assignment: nothing may be
    // copied from, and pinned in, an arena that is no longer mapped.
    model_.reset();
    model_.emplace(std::move(next));
  }
  model_->memory().use();
  model_->load(job, progress, instead);
  report_memory(progress);
}

void ModelRunner::report_memory(Progress& progress) const {
  progress.memory(model_ ? model_->report() : MemoryReport());
}

Result ModelRunner::compute(const Job& job, Progress& progress) const {
  const c10::InferenceMode no_gradients;
  const auto start = Clock::now();
  std::optional<Clock::time_point> placing;
  std::optional<Clock::time_point> denoising;
  JobOptions options;
  options.prompt = job.prompt;
  options.negative_prompt = job.negative_prompt;
  options.steps = job.steps;
  options.guidance = job.guidance;
  options.seeds.latents = static_cast<std::uint64_t>(job.seed);
  options.damping = damping_of(job.guidance_damping);
  if (job.vae_tiling) options.tiling = VaeTiling{};
  options.truncate = job.truncate;
  Result result;
  options.cut = [&](std::string_view what, const PromptCut& cut) {
    result.cuts[fmt::format("{}_cut", what)] = {{"tokens", cut.tokens}, {"kept", cut.kept}, {"after", cut.after}};
  };
  const auto check = [&] { progress.check(); };
  options.before_layer = [&](const at::Tensor&) { check(); };
  options.before_vae_block = check;
  options.observe = [&](std::string_view name, const at::Tensor&) {
    if (name == "times" || name == "transformer") model_->memory().wait();
    if (name == "times") placing = Clock::now();
    if (name == "transformer") denoising = Clock::now();
  };
  Clock::time_point last_step = start;
  options.denoise.after_block = check;
  options.denoise.after_step = [&](int step, const at::Tensor&, const at::Tensor&) {
    // On a GPU a step has only been asked for when its last operator returns.
    if (step + 1 == job.steps) model_->memory().wait();
    last_step = Clock::now();
    const double each = seconds_since(*denoising) / (step + 1);
    progress.step(step + 1, job.steps, each * (job.steps - step - 1));
    report_memory(progress);
  };
  const PictureSize size{job.width, job.height};
  const Pipeline& pipeline = model_->pipeline();
  Picture picture;
  if (job.picture) {
    const auto pixels = job.picture->pixels();
    const RgbView view{size.width, size.height, {reinterpret_cast<const std::uint8_t*>(pixels.data()), pixels.size()}};
    picture = pipeline.edit(view, job.size, options);
  } else {
    picture = pipeline.generate(size, options);
  }
  result.width = picture.size.width;
  result.height = picture.size.height;
  result.picture = sealed(picture);
  const auto between = [](Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
  };
  result.timings = {{"encode", between(start, placing.value_or(start))},
                    {"place", between(placing.value_or(start), denoising.value_or(start))},
                    {"denoise", between(denoising.value_or(start), last_step)},
                    {"decode", seconds_since(last_step)}};
  return result;
}

Result ModelRunner::run(const Job& job, Progress& progress) {
  std::variant<Result, Error> outcome = attempt(job, progress, {});
  if (const std::optional<PlanKind> instead = plan_after(outcome, job)) outcome = attempt(job, progress, instead);
  report_memory(progress);
  if (Error* problem = std::get_if<Error>(&outcome)) throw Error(*problem);
  return std::get<Result>(std::move(outcome));
}

// Where memory ran out, a plan that needs less of it, unless the job names its plan.
std::optional<PlanKind> ModelRunner::plan_after(const std::variant<Result, Error>& outcome, const Job& job) const {
  const Error* problem = std::get_if<Error>(&outcome);
  if (problem == nullptr || problem->code() != ErrorCode::out_of_memory) return std::nullopt;
  if (!model_ || !model_->plan() || job.plan != "auto") return std::nullopt;
  return next_plan(model_->plan()->kind);
}

// What went wrong is handled outside of its handler: an exception in flight keeps tensors alive.
std::variant<Result, Error> ModelRunner::attempt(const Job& job, Progress& progress, std::optional<PlanKind> instead) {
  std::optional<Error> problem;
  try {
    const auto start = Clock::now();
    load(job, progress, instead);
    const double load_seconds = seconds_since(start);
    Result result;
    if (!job.load_only) result = compute(job, progress);
    result.timings["load"] = load_seconds;
    return result;
  } catch (const Error& error) {
    problem = error;
  } catch (const c10::OutOfMemoryError& error) {
    problem = Error(ErrorCode::out_of_memory, said(error));
  } catch (const std::bad_alloc&) {
    problem = Error(ErrorCode::out_of_memory, "the machine has too little memory for this job");
  } catch (const c10::Error& error) {
    // After an error of the device nothing on it can be trusted; the worker starts another engine. Without the stack,
    // which would be kilobytes of the log.
    if (model_ && !model_->memory().device().is_cpu())
      throw std::runtime_error(one_line(error.what_without_backtrace()));
    problem = Error(ErrorCode::failure, one_line(error.what_without_backtrace()));
  }
  if (!model_) return *problem;
  if (problem->code() == ErrorCode::out_of_memory) {
    model_->offload();
    if (model_->plan()) {
      problem = Error::format(ErrorCode::out_of_memory, "{} (plan {}: {})", problem->what(), name(model_->plan()->kind),
                              model_->plan()->reason);
    }
  }
  model_->memory().trim();
  return *problem;
}

void ModelRunner::offload(Progress& progress) {
  if (model_) model_->offload();
  report_memory(progress);
}

}  // namespace step1x::engine
