#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "worker/placing.hpp"

using namespace step1x::worker;

namespace {

using Use = SlotView::Use;

SlotView on(const char* device, Use use, const char* engine_device = "", const char* uuid = "") {
  return {use, device, engine_device, uuid};
}

std::string place(const char* device, const std::vector<SlotView>& slots) {
  const auto found = place_for(device, slots);
  if (!found) return "none";
  return *found == slots.size() ? "new" : std::to_string(*found);
}

std::string shown(Queue::Fit fit) {
  return fit == Queue::Fit::now ? "now" : fit == Queue::Fit::soon ? "soon" : "no";
}

constexpr int kMine = 0;
constexpr int kOthers = 0;

}  // namespace

TEST_CASE("a job goes to the slot of its device, else to a free one, else to a new one, or waits") {
  const SlotView fresh;
  const SlotView free0 = on("cuda:0", Use::free, "cuda:0", "GPU-a");
  const SlotView free1 = on("cuda:1", Use::free, "cuda:1", "GPU-b");
  const SlotView busy0 = on("cuda:0", Use::working, "cuda:0", "GPU-a");
  const SlotView busy1 = on("cuda:1", Use::working, "cuda:1", "GPU-b");
  const SlotView moving0 = on("cuda:0", Use::moving, "cuda:0", "GPU-a");
  const SlotView auto0 = on("auto", Use::working, "cuda:0", "GPU-a");
  const SlotView starting_auto = on("auto", Use::working);
  const SlotView starting0 = on("cuda:0", Use::working);
  struct Row {
    std::string situation;
    const char* device;
    std::vector<SlotView> slots;
    std::string expected;
  };
  const std::vector<Row> rows{
      {"the first job", "cuda:1", {fresh}, "0"},
      {"the first job, whatever the device", "auto", {fresh}, "0"},
      {"its own slot is free", "cuda:1", {free0, free1}, "1"},
      {"its own slot is free, by the GPU's UUID", "GPU-b", {free0, free1}, "1"},
      {"its own slot is free, by what its engine made of another name",
       "cuda:0",
       {busy1, on("auto", Use::free, "cuda:0")},
       "1"},
      {"its own slot works, and another one is free", "cuda:0", {busy0, free1}, "none"},
      {"its own slot works, by what its engine made of auto", "cuda:0", {auto0, free1}, "none"},
      {"its own slot is moving", "cuda:0", {moving0, busy1}, "none"},
      {"another device's slot is free: it changes over", "cuda:1", {free0}, "0"},
      {"the first of the free ones changes over", "cuda:2", {busy0, free1, fresh}, "1"},
      {"all work: a new slot", "cuda:1", {busy0}, "new"},
      {"all work: a new slot, by the GPU's UUID", "GPU-c", {busy0, busy1}, "new"},
      {"one of them is free in a moment", "cuda:2", {busy0, on("cuda:1", Use::moving, "cuda:1")}, "none"},
      {"who works on auto may be it, as long as its engine does not say", "cuda:1", {starting_auto}, "none"},
      {"who works on auto is surely another", "cuda:1", {auto0}, "new"},
      {"who works on a named device is another before its engine says so", "cuda:1", {starting0}, "new"},
      {"auto: its own slot is free", "auto", {free0, on("auto", Use::free, "cuda:1")}, "1"},
      {"auto: its own slot works, and another one is free", "auto", {auto0, free1}, "1"},
      {"auto: its own slot works, and there is no other", "auto", {auto0}, "none"},
      {"auto: any free one", "auto", {busy0, free1}, "1"},
      {"auto: all work, and none is added for it", "auto", {busy0}, "none"},
      {"cuda is as vague as auto", "cuda", {busy0}, "none"},
      {"no engine has a GPU: none is the one without a UUID", "GPU-a", {on("cpu", Use::working, "cpu")}, "new"},
      {"sixteen work", "cuda:99", std::vector<SlotView>(16, busy0), "none"},
      {"fifteen work", "cuda:99", std::vector<SlotView>(15, busy0), "new"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.situation);
    CHECK(place(row.device, row.slots) == row.expected);
  }
}

TEST_CASE("a job runs now, when another model has left, or not while a lease keeps another model") {
  const std::vector<SlotView> idle{on("cuda:0", Use::free, "cuda:0")};
  const std::vector<SlotView> working{on("cuda:0", Use::working, "cuda:0")};
  const std::vector<SlotView> moving{on("cuda:0", Use::moving, "cuda:0")};
  const std::vector<SlotView> both{working[0], on("cuda:1", Use::free, "cuda:1")};
  struct Row {
    std::string situation;
    Need need;
    FleetView fleet;
    std::vector<LeaseView> leases;
    std::string expected;
  };
  const std::vector<Row> rows{
      {"nothing is loaded", {"a", "cuda:0"}, {idle, ""}, {}, "now"},
      {"its model is loaded", {"a", "cuda:0"}, {idle, "a"}, {}, "now"},
      {"another model is loaded and nothing computes", {"a", "cuda:0"}, {idle, "b"}, {}, "now"},
      {"its slot works", {"a", "cuda:0"}, {working, "a"}, {}, "no"},
      {"its slot is moving", {"a", "cuda:0"}, {moving, "a"}, {}, "no"},
      {"another slot computes with its model", {"a", "cuda:1"}, {both, "a"}, {}, "now"},
      {"another slot computes with another model", {"a", "cuda:1"}, {both, "b"}, {}, "soon"},
      {"a new slot, and others compute with another model", {"a", "cuda:1"}, {working, "b"}, {}, "soon"},
      {"a lease keeps its model", {"a", "cuda:0", &kMine}, {idle, "a"}, {{&kOthers, "a"}}, "now"},
      {"a lease keeps another model", {"a", "cuda:0", &kMine}, {idle, "b"}, {{&kOthers, "b"}}, "no"},
      {"a lease keeps another model, which is not loaded yet",
       {"a", "cuda:0", &kMine},
       {idle, ""},
       {{&kOthers, "b"}},
       "no"},
      {"a lease keeps another model, and who asked is gone", {"a", "cuda:0"}, {idle, "b"}, {{&kOthers, "b"}}, "no"},
      {"its own lease keeps another model", {"a", "cuda:0", &kMine}, {idle, "b"}, {{&kMine, "b"}}, "now"},
      {"one of two leases keeps another model",
       {"a", "cuda:0", &kMine},
       {idle, "a"},
       {{&kMine, "a"}, {&kOthers, "b"}},
       "no"},
      {"a lease keeps no model yet", {"a", "cuda:0", &kMine}, {idle, "b"}, {{&kOthers, ""}}, "now"},
      {"a lease of another model counts before what computes",
       {"a", "cuda:1", &kMine},
       {both, "b"},
       {{&kOthers, "b"}},
       "no"},
      {"an own lease does not interrupt what computes", {"a", "cuda:1", &kMine}, {both, "b"}, {{&kMine, "a"}}, "soon"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.situation);
    CHECK(shown(fit(row.need, row.fleet, row.leases)) == row.expected);
  }
}
