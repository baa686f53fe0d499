#include <fmt/format.h>

#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "memory/planner.hpp"

using namespace step1x;

namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

// The released dimensions, `each` bytes an element; v1.2's transformer has one map more.
ModelSize released(std::uint64_t each, bool v1_2 = false) {
  const auto elements = [each](std::uint64_t millions) { return millions * 1'000'000 * each; };
  ModelSize model;
  model.text_encoder.fixed = elements(545 + 45);
  model.text_encoder.runs = {std::vector<std::uint64_t>(32, elements(20)),
                             std::vector<std::uint64_t>(28, elements(233))};
  model.transformer.fixed = elements(v1_2 ? 565 : 550);
  std::vector<std::uint64_t> modulations(19, elements(113));
  modulations.insert(modulations.end(), 38, elements(28));
  std::vector<std::uint64_t> blocks(19, elements(226));
  blocks.insert(blocks.end(), 38, elements(113));
  model.transformer.runs = {modulations, blocks};
  model.vae = 335'000'000;
  return model;
}

// As activation_size gives them for 28 steps in bf16.
ActivationSize activations(int side) {
  switch (side) {
    case 512:
      return {400 * kMiB, 1300 * kMiB, 770 * kMiB};
    case 768:
      return {400 * kMiB, 1900 * kMiB, 1730 * kMiB};
    default:
      return {400 * kMiB, 2500 * kMiB, 3080 * kMiB};
  }
}

Plan plan(std::uint64_t card, int side, std::uint64_t each = 2, bool v1_2 = false) {
  // A context takes half a gigabyte of every card.
  return make_plan({.model = released(each, v1_2), .activations = activations(side), .free = card * kGiB - kGiB / 2});
}

}  // namespace

TEST_CASE("each card gets the plan that moves least") {
  struct Row {
    std::uint64_t card;  // GiB
    const char* bf16;    // at 512, 768, 1024
    const char* f32;
  };
  const Row table[] = {
      {8, "stream stream stream", "stream stream stream"},
      {12, "stream stream stream", "stream stream stream"},
      {16, "stream stream stream", "stream stream stream"},
      {24, "stream stream stream", "stream stream stream"},
      {32, "staged staged staged", "stream stream stream"},
      {48, "resident resident resident", "stream stream stream"},
      {80, "resident resident resident", "resident resident resident"},
      {141, "resident resident resident", "resident resident resident"},
  };
  for (const Row& row : table) {
    for (const bool v1_2 : {false, true}) {
      const auto all = [&](std::uint64_t each) {
        std::string names;
        for (const int side : {512, 768, 1024}) {
          const Plan chosen = plan(row.card, side, each, v1_2);
          names += fmt::format("{}{}", names.empty() ? "" : " ", name(chosen.kind));
          INFO(row.card << " GiB, " << side << " px: " << chosen.reason);
          // 8 GiB are too few for float32's blocks alone.
          if (each == 2 || row.card > 12) CHECK(chosen.needed <= chosen.limit);
        }
        return names;
      };
      CAPTURE(row.card);
      CHECK(all(2) == row.bf16);
      CHECK(all(4) == row.f32);
    }
  }
}

TEST_CASE("streaming keeps as many blocks as there is room for") {
  std::size_t before = 0;
  for (const std::uint64_t card : {8, 12, 16, 24}) {
    const Plan chosen = plan(card, 1024);
    REQUIRE(chosen.transformer.size() == 2);
    const RunPlan blocks = chosen.transformer.back();
    CAPTURE(card);
    CHECK(blocks.slots >= 2);
    CHECK((card == 8 || blocks.kept > before));
    // With 24 GiB nothing moves but the modulations, once.
    CHECK((blocks.kept == 57) == (card == 24));
    // The last block that moves and the first have slots of their own.
    CHECK((57 - blocks.kept) % blocks.slots == 0);
    before = blocks.kept;
  }
}

TEST_CASE("a limit is what counts, not what is free") {
  PlanRequest request{.model = released(2), .activations = activations(1024), .free = 80 * kGiB};
  CHECK(make_plan(request).kind == PlanKind::resident);
  request.max_vram = 32 * kGiB;
  CHECK(make_plan(request).kind == PlanKind::staged);
  CHECK(make_plan(request).limit == 32 * kGiB);
  request.max_vram = -std::int64_t{60} * static_cast<std::int64_t>(kGiB);
  CHECK(make_plan(request).kind == PlanKind::stream);
  CHECK(make_plan(request).limit == 20 * kGiB);
  request.max_vram = -std::int64_t{90} * static_cast<std::int64_t>(kGiB);
  CHECK(make_plan(request).limit == 0);
}

TEST_CASE("a plan that was asked for is made, whatever it needs") {
  PlanRequest request{.model = released(2), .activations = activations(1024), .free = 80 * kGiB};
  for (const PlanKind kind : {PlanKind::resident, PlanKind::staged, PlanKind::stream}) {
    request.wanted = kind;
    request.free = 80 * kGiB;
    CHECK(make_plan(request).kind == kind);
    request.free = kGiB;
    const Plan small = make_plan(request);
    CHECK(small.kind == kind);
    CHECK(small.needed > small.limit);
    CHECK(small.reason.find(name(kind)) != std::string::npos);
  }
}

TEST_CASE("without a host arena there is nothing to stage or stream from") {
  PlanRequest request{.model = released(2), .activations = activations(512), .free = 12 * kGiB, .can_stream = false};
  CHECK(make_plan(request).kind == PlanKind::resident);
  request.wanted = PlanKind::stream;
  CHECK(make_plan(request).kind == PlanKind::resident);
}

TEST_CASE("a model without blocks, and one that fits as a whole, are planned too") {
  ModelSize small;
  small.text_encoder.fixed = 10 * kMiB;
  small.transformer.runs = {{kMiB}, {kMiB, 2 * kMiB, kMiB}};
  small.vae = kMiB;
  CHECK(make_plan({.model = small, .free = 16 * kMiB}).kind == PlanKind::resident);
  CHECK(make_plan({.model = small, .free = 11 * kMiB}).kind == PlanKind::staged);
  const Plan streamed = make_plan({.model = small, .free = 6 * kMiB});
  CHECK(streamed.kind == PlanKind::stream);
  CHECK(streamed.text_encoder.empty());
  CHECK(streamed.transformer.front().slots == 1);
  CHECK(make_plan({.model = {}, .free = 0}).kind == PlanKind::resident);
}

TEST_CASE("names of plans are read as they are written") {
  for (const PlanKind kind : {PlanKind::resident, PlanKind::staged, PlanKind::stream})
    CHECK(plan_kind(name(kind)) == kind);
  CHECK(!plan_kind("fast"));
  CHECK(next_plan(PlanKind::resident) == PlanKind::staged);
  CHECK(next_plan(PlanKind::staged) == PlanKind::stream);
  CHECK(!next_plan(PlanKind::stream));
}
