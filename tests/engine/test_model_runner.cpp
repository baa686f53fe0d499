// A job as an engine runs it, without the engine's process and worker.
#include "engine/model_runner.hpp"

#include "base/error.hpp"
// clang-format off: after libtorch
#include "support/doctest_with_torch.hpp"
#include "support/golden.hpp"
// clang-format on

using namespace step1x;
using engine::Job;

namespace {

class Client : public engine::Progress {
 public:
  void loading(std::int64_t, std::int64_t) override {}
  void step(int step, int steps, double) override { decoding = step == steps; }
  void memory(const engine::MemoryReport&) override {}
  engine::ArenaGrant arena(const std::string&, std::int64_t) override { return {}; }
  void arena_filled(std::int64_t) override {}
  std::optional<ipc::Lock> lock_gpu(const std::string&) override { return std::nullopt; }
  void check() override {
    if (decoding) ++checks;
    if (decoding && leaves) throw Error(ErrorCode::cancelled, "cancelled");
  }

  bool leaves = false;  // once the last step is done
  bool decoding = false;
  int checks = 0;
};

Job job_of(const std::string& prompt) {
  Job job;
  job.model = (test::kGolden / "bundle/step1x-edit-v1p1-official.safetensors").string();
  job.device = "cpu";
  job.prompt = prompt;
  job.guidance = 4;
  job.size = 64;
  job.width = 48;
  job.height = 32;
  job.steps = 1;
  return job;
}

}  // namespace

TEST_CASE("what was cut off of a prompt is in the result, and nothing where it is whole") {
  engine::ModelRunner runner;
  Client client;
  CHECK(runner.run(job_of("red"), client).cuts.empty());
  // Without a picture the text encoder sees a black one of 1024 pixels, which takes 12 of the 64 tokens here too.
  Job job = job_of(std::string(400, 'x'));
  CHECK_THROWS_AS(runner.run(job, client), Error);
  job.truncate = true;
  const ipc::Json cuts = runner.run(job, client).cuts;
  CHECK(cuts.size() == 1);
  CHECK(cuts["prompt_cut"]["kept"] == 64);
  CHECK(cuts["prompt_cut"]["tokens"] > 64);
  CHECK(cuts["prompt_cut"]["after"].get<std::string>().starts_with("xx"));
}

TEST_CASE("a client that leaves while its picture is decoded is heard at the next block of the VAE") {
  engine::ModelRunner runner;
  Client client;
  runner.run(job_of("red"), client);
  CHECK(client.checks > 10);
  Client leaving;
  leaving.leaves = true;
  try {
    runner.run(job_of("red"), leaving);
    FAIL("there is a picture");
  } catch (const Error& problem) {
    CHECK(problem.code() == ErrorCode::cancelled);
  }
  CHECK(leaving.checks == 1);
}
