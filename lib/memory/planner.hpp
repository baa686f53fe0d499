// How much of a model is on a device at a time: pure arithmetic over sizes, the same for any card and testable without
// one (lib/README.md, Memory). All sizes are bytes. Thread-safe; no errors: what cannot fit is planned all the same,
// and its plan says what it needs.
//
//   resident   all parts, all the time
//   staged     text encoder, then transformer, each alone beside the VAE
//   stream     of each part only what is used now and next; as many blocks stay as there is room for
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace step1x {

enum class PlanKind { resident, staged, stream };
std::string_view name(PlanKind kind);
std::optional<PlanKind> plan_kind(std::string_view name);

// A part of a model: what is not in blocks, and runs of blocks that are used one after the other.
struct PartSize {
  std::uint64_t fixed = 0;
  std::vector<std::vector<std::uint64_t>> runs;
  std::uint64_t padding = 0;  // between them, where the part lies in one range

  std::uint64_t whole() const;
};

struct ModelSize {
  PartSize text_encoder;
  PartSize transformer;
  std::uint64_t vae = 0;
};

// What is computed with besides the weights, at most, in each stage.
struct ActivationSize {
  std::uint64_t text_encoder = 0;
  std::uint64_t transformer = 0;
  std::uint64_t vae = 0;
};

// Of a run of blocks, the first `kept` stay on the device, the others take turns in `slots`.
struct RunPlan {
  std::size_t kept = 0;
  std::size_t slots = 0;
  bool operator==(const RunPlan&) const = default;
};

struct Plan {
  PlanKind kind = PlanKind::resident;
  // One for each run of the part; `stream` only.
  std::vector<RunPlan> text_encoder;
  std::vector<RunPlan> transformer;
  std::uint64_t needed = 0;  // at the most demanding moment, with activations
  std::uint64_t limit = 0;   // what could be used
  std::string reason;        // one sentence, with the sizes
};

struct PlanRequest {
  ModelSize model = {};
  ActivationSize activations = {};
  std::uint64_t free = 0;  // on the device, with nothing of the model on it
  // At most so much, of all that the device has free; negative: so much less than is free.
  std::optional<std::int64_t> max_vram = std::nullopt;
  std::optional<PlanKind> wanted = std::nullopt;  // obeyed, whatever it needs
  bool can_stream = true;                         // there is a host arena to copy from
};

// The first of resident, staged, stream that fits; `stream` where none does.
Plan make_plan(const PlanRequest& request);

// What to try when memory ran out under `plan`; nullopt: nothing needs less.
std::optional<PlanKind> next_plan(PlanKind kind);

}  // namespace step1x
