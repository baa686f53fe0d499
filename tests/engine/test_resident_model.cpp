// A model with the host arena and a simulated device, as an engine has it, without the engine's process and worker.
#include "engine/resident_model.hpp"

#include <optional>
#include <vector>

#include "base/error.hpp"
#include "memory/arena.hpp"
// clang-format off: after libtorch
#include "support/doctest_with_torch.hpp"
#include "support/golden.hpp"
// clang-format on

using namespace step1x;
using engine::ArenaGrant;
using engine::Job;
using engine::ResidentModel;

namespace {

// What stands on the other side of an engine: one arena, given to whoever asks, and a record of what was reported.
class Worker : public engine::Progress {
 public:
  void loading(std::int64_t done, std::int64_t total) override {
    CHECK(done <= total);
    loaded = done;
  }
  void step(int, int, double) override {}
  void memory(const engine::MemoryReport&) override {}
  ArenaGrant arena(const std::string& key, std::int64_t bytes) override {
    keys.push_back(key);
    if (!has_room) return {};
    const bool whole = fd.has_value();
    if (!whole) fd = create_arena(static_cast<std::uint64_t>(bytes));
    return {UniqueFd(::dup(fd->get())), whole};
  }
  void arena_filled(std::int64_t) override { ++filled; }
  std::optional<ipc::Lock> lock_gpu(const std::string&) override { return std::nullopt; }
  void check() override {
    if (cancelled) throw Error(ErrorCode::cancelled, "cancelled");
  }

  bool has_room = true;
  bool cancelled = false;
  std::optional<UniqueFd> fd;
  std::vector<std::string> keys;
  int filled = 0;
  std::int64_t loaded = 0;
};

Job job_on(const char* device, const char* plan = "auto") {
  Job job;
  job.model = (test::kGolden / "bundle").string();
  job.device = device;
  job.plan = plan;
  job.size = 64;
  job.width = job.height = 64;
  job.steps = 1;
  return job;
}

std::string location(const ResidentModel& model) {
  return model.report().location;
}

}  // namespace

TEST_CASE("the first load fills the arena and the device, an offload drops the device, the next load reads the arena") {
  Worker worker;
  const Job job = job_on("sim:1g");
  ResidentModel model(job);
  CHECK(location(model) == "Unloaded");
  model.load(job, worker);
  CHECK(location(model) == "GPU");
  CHECK(worker.filled == 1);
  const std::int64_t on_device = model.report().allocated_bytes;
  CHECK(on_device > 0);
  model.offload();
  CHECK(location(model) == "CPU");
  CHECK(model.report().allocated_bytes == 0);
  worker.loaded = 0;
  model.load(job, worker);
  CHECK(worker.filled == 1);
  CHECK(worker.keys.size() == 1);
  CHECK(worker.loaded > 0);
  CHECK(model.report().allocated_bytes == on_device);
}

TEST_CASE("a model that is there is not loaded again, another plan is") {
  Worker worker;
  const Job job = job_on("sim:1g");
  ResidentModel model(job);
  model.load(job, worker);
  worker.loaded = 0;
  model.load(job, worker);
  CHECK(worker.loaded == 0);
  model.load(job_on("sim:1g", "stream"), worker);
  CHECK(model.plan()->kind == PlanKind::stream);
  CHECK(model.serves(job));
  CHECK(!model.serves(job_on("cpu")));
}

TEST_CASE("another engine's arena is read, and not filled again") {
  Worker worker;
  const Job job = job_on("sim:1g");
  ResidentModel first(job);
  first.load(job, worker);
  ResidentModel second(job_on("sim:2g"));
  second.load(job_on("sim:2g"), worker);
  CHECK(worker.filled == 1);
  CHECK(worker.keys.at(0) == worker.keys.at(1));
  CHECK(location(second) == "GPU");
}

TEST_CASE("without an arena the model lives on the device alone, and one that does not fit there is refused") {
  Worker worker;
  worker.has_room = false;
  ResidentModel model(job_on("sim:1g"));
  model.load(job_on("sim:1g"), worker);
  CHECK(location(model) == "GPU");
  model.offload();
  CHECK(location(model) == "Unloaded");
  ResidentModel large(job_on("sim:1m"));
  CHECK_THROWS_AS(large.load(job_on("sim:1m"), worker), Error);
  CHECK(large.report().allocated_bytes == 0);
}

TEST_CASE("a load that nobody wants any more ends, and leaves nothing on the device") {
  Worker worker;
  worker.cancelled = true;
  ResidentModel model(job_on("sim:1g"));
  try {
    model.load(job_on("sim:1g"), worker);
    FAIL("it loaded");
  } catch (const Error& problem) {
    CHECK(problem.code() == ErrorCode::cancelled);
  }
  CHECK(model.report().allocated_bytes == 0);
  worker.cancelled = false;
  worker.fd.reset();
  model.load(job_on("sim:1g"), worker);
  CHECK(location(model) == "GPU");
}
