#include "memory/planner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <span>

#include "base/size.hpp"

namespace step1x {

namespace {

constexpr std::array<std::string_view, 3> kNames{"resident", "staged", "stream"};
// One being computed with and one on its way; with a third, a copy that is late once is not missed at once.
constexpr std::size_t kFewestSlots = 2;
constexpr std::size_t kSlots = 3;

std::uint64_t sum(std::span<const std::uint64_t> sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), std::uint64_t{0});
}

std::uint64_t limit_of(const PlanRequest& request) {
  if (!request.max_vram) return request.free;
  const std::int64_t most = *request.max_vram;
  if (most >= 0) return std::min(request.free, static_cast<std::uint64_t>(most));
  return request.free - std::min(request.free, static_cast<std::uint64_t>(-most));
}

// A part that is streamed through `plans`, one for each of its runs.
std::uint64_t streamed_bytes(const PartSize& part, const std::vector<RunPlan>& plans) {
  std::uint64_t bytes = part.fixed;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const std::span<const std::uint64_t> run = part.runs[i];
    bytes += sum(run.first(plans[i].kept));
    const auto moving = run.subspan(plans[i].kept);
    if (!moving.empty()) bytes += plans[i].slots * *std::ranges::max_element(moving);
  }
  return bytes;
}

// As much of the part as fits into `room`. The last run gets what is left: it is the one that is used again and again,
// every step of a job.
std::vector<RunPlan> stream_part(const PartSize& part, std::uint64_t room) {
  std::vector<RunPlan> plans;
  plans.reserve(part.runs.size());
  for (const auto& run : part.runs) plans.push_back({0, std::min(kFewestSlots, run.size())});
  if (plans.empty()) return plans;
  RunPlan& last = plans.back();
  const auto try_with = [&](RunPlan better) {
    const RunPlan before = last;
    last = better;
    if (streamed_bytes(part, plans) <= room) return true;
    last = before;
    return false;
  };
  const std::size_t blocks = part.runs.back().size();
  if (!try_with({0, std::min(kSlots, blocks)})) return plans;
  while (last.kept < blocks && try_with({last.kept + 1, last.slots})) {
    // As far as it goes.
  }
  // A block has its slot for life. Where the last that moves and the first have the same one, the pass begins with a
  // wait; with a multiple of the slots they never do.
  const std::size_t over = (blocks - last.kept) % last.slots;
  if (over > 0 && last.kept >= last.slots - over) last.kept -= last.slots - over;
  return plans;
}

}  // namespace

std::string_view name(PlanKind kind) {
  return kNames.at(static_cast<std::size_t>(kind));
}

std::optional<PlanKind> plan_kind(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<PlanKind>(found - kNames.begin());
}

std::uint64_t PartSize::whole() const {
  std::uint64_t bytes = fixed + padding;
  for (const auto& run : runs) bytes += sum(run);
  return bytes;
}

std::optional<PlanKind> next_plan(PlanKind kind) {
  if (kind == PlanKind::stream) return std::nullopt;
  return static_cast<PlanKind>(static_cast<int>(kind) + 1);
}

Plan make_plan(const PlanRequest& request) {
  const auto& [model, activations, free, max_vram, wanted, can_stream] = request;
  Plan plan;
  plan.limit = limit_of(request);
  // The most demanding of the three stages; the VAE's weights are always there.
  const auto most = [&](std::uint64_t text_encoder, std::uint64_t transformer, std::uint64_t beside_vae) {
    return model.vae + std::max({text_encoder + activations.text_encoder, transformer + activations.transformer,
                                 beside_vae + activations.vae});
  };
  const std::uint64_t both = model.text_encoder.whole() + model.transformer.whole();
  const std::uint64_t resident = most(both, both, both);
  const std::uint64_t staged = most(model.text_encoder.whole(), model.transformer.whole(), 0);
  if (!can_stream) {
    plan.kind = PlanKind::resident;
  } else if (wanted) {
    plan.kind = *wanted;
  } else if (resident <= plan.limit) {
    plan.kind = PlanKind::resident;
  } else if (staged <= plan.limit) {
    plan.kind = PlanKind::staged;
  } else {
    plan.kind = PlanKind::stream;
  }
  plan.needed = plan.kind == PlanKind::resident ? resident : staged;
  if (plan.kind == PlanKind::stream) {
    const auto room = [&](std::uint64_t beside) { return plan.limit - std::min(plan.limit, model.vae + beside); };
    plan.text_encoder = stream_part(model.text_encoder, room(activations.text_encoder));
    plan.transformer = stream_part(model.transformer, room(activations.transformer));
    plan.needed = most(streamed_bytes(model.text_encoder, plan.text_encoder),
                       streamed_bytes(model.transformer, plan.transformer), 0);
  }

  plan.reason = fmt::format("{} can be used{}; resident needs {}, staged {}", format_size(plan.limit),
                            plan.limit < free ? fmt::format(" of {} free (--max-vram)", format_size(free)) : "",
                            format_size(resident), format_size(staged));
  if (plan.kind == PlanKind::stream) plan.reason += fmt::format(", stream {}", format_size(plan.needed));
  if (wanted) plan.reason += fmt::format("; {} was asked for", name(*wanted));
  if (!can_stream) plan.reason += "; without a host arena only resident is possible";
  return plan;
}

}  // namespace step1x
