// step1x-engine: one device's engine. Started by step1xd only; speaks protocol.md section 7 on the descriptor it is
// given.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <memory>
#include <optional>

#include "base/error.hpp"
#include "base/process.hpp"
#include "base/version.hpp"
#include "fake_runner.hpp"
#include "ipc/fields.hpp"
#include "ipc/gpu_lock.hpp"
#include "life_line.hpp"
#include "model_module.hpp"

using namespace step1x;
using engine::Job;
using engine::LifeLine;
using engine::Result;
using engine::Runner;
using ipc::Json;

namespace {

constexpr int kSoftwareFault = 70;  // EX_SOFTWARE
// An edit of another worker's takes minutes at most; one that holds the GPU for longer may well hold it for hours.
constexpr std::chrono::minutes kGpuPatience{2};

class Reporter : public engine::Progress {
 public:
  Reporter(LifeLine& line, std::int64_t job) : line_(line), job_(job) {}

  void loading(std::int64_t done, std::int64_t total) override {
    line_.send({{"event", "loading"}, {"id", job_}, {"done", done}, {"total", total}});
  }
  void step(int step, int steps, double seconds_left) override {
    line_.send({{"event", "step"}, {"id", job_}, {"step", step}, {"steps", steps}, {"seconds_left", seconds_left}});
  }
  void memory(const engine::MemoryReport& report) override {
    line_.send({{"event", "memory"},
                {"allocated_bytes", report.allocated_bytes},
                {"reserved_bytes", report.reserved_bytes},
                {"location", report.location},
                {"device", report.device},
                {"uuid", report.uuid},
                {"plan", report.plan},
                {"copies", report.copies}});
  }
  engine::ArenaGrant arena(const std::string& key, std::int64_t bytes) override {
    line_.send({{"event", "arena"}, {"id", job_}, {"key", key}, {"bytes", bytes}});
    ipc::Message answer = line_.arena();
    return {std::move(answer.fd), ipc::Fields(answer.body).boolean("filled", false)};
  }
  void arena_filled(std::int64_t huge_bytes) override {
    line_.send({{"event", "arena_filled"}, {"id", job_}, {"huge_bytes", huge_bytes}});
  }
  std::optional<ipc::Lock> lock_gpu(const std::string& uuid) override {
    return ipc::lock_gpu(uuid, kGpuPatience, [this] { check(); });
  }
  void check() override {
    if (line_.cancelled(job_)) throw Error(ErrorCode::cancelled, "cancelled");
  }

 private:
  LifeLine& line_;
  std::int64_t job_;
};

Job read_job(const ipc::Message& message) {
  const ipc::Fields fields(message.body);
  Job job{request::read_job(message.body),
          fields.integer("id", 0, INT64_MAX),
          fields.text("op") == "load",
          static_cast<int>(fields.integer("width", 1, ipc::kMaxSide)),
          static_cast<int>(fields.integer("height", 1, ipc::kMaxSide)),
          std::nullopt};
  if (message.fd) job.picture.emplace(message.fd.get(), job.width, job.height);
  return job;
}

void run_job(LifeLine& line, Runner& runner, const ipc::Message& message) {
  const std::int64_t id = ipc::Fields(message.body).integer("id", 0, INT64_MAX);
  Reporter reporter(line, id);
  try {
    const Job job = read_job(message);
    const Result result = runner.run(job, reporter);
    Json done = {{"event", "done"}, {"id", id}, {"seed", job.seed}, {"timings", result.timings}};
    if (result.picture) done.update({{"fd", "result"}, {"width", result.width}, {"height", result.height}});
    done.update(result.cuts);
    line.send(done, result.picture.get());
  } catch (const Error& problem) {
    line.send({{"event", "error"},
               {"id", id},
               {"code", name(problem.code())},
               {"message", problem.what()},
               {"retryable", retryable(problem.code())}});
  }
}

// Answers every job with why there is no other runner: an engine that just ended would look like a crash.
class NoRunner : public Runner {
 public:
  explicit NoRunner(Error why) : why_(std::move(why)) {}
  Result run(const Job&, engine::Progress&) override { throw why_; }
  void offload(engine::Progress&) override {}

 private:
  Error why_;
};

std::unique_ptr<Runner> make_runner(const std::optional<std::string>& fake, int worker_fd) {
  try {
    if (!fake) return engine::load_model_runner();
    auto runner = std::make_unique<engine::FakeRunner>(engine::FakeSpec::parse(*fake), worker_fd);
    runner->point("hello", 1);
    return runner;
  } catch (const Error& problem) {
    return std::make_unique<NoRunner>(problem);
  }
}

[[noreturn]] void serve(LifeLine& line, Runner& runner) {
  for (;;) {
    const ipc::Message message = line.next();
    const std::string op = ipc::Fields(message.body).text("op", "");
    if (op == "edit" || op == "generate" || op == "load") run_job(line, runner, message);
    if (op == "offload") {
      Reporter reporter(line, -1);
      runner.offload(reporter);
      line.send({{"event", "ok"}});
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  begin_process();
  CLI::App app("An engine of step1x. The worker starts it.", "step1x-engine");
  int fd = -1;
  std::optional<std::string> fake;
  app.add_option("--fd", fd, "The socket to the worker")->required();
  app.add_option("--fake", fake, "Run without a model, for tests: see fake_spec.hpp")->expected(0, 1);
  app.set_version_flag("--version", fmt::format("step1x-engine {} ({})", kVersion, kBuildId));
  CLI11_PARSE(app, argc, argv);
  try {
    // Before the worker's 800: the worker can start another engine.
    std::ofstream("/proc/self/oom_score_adj") << "700";
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    // First, so that an engine whose worker dies ends at once, even while it starts. Static, so that no
    // exception destroys it while its thread runs.
    static LifeLine line{UniqueFd(fd)};
    const std::unique_ptr<Runner> runner = make_runner(fake, fd);
    line.greet();
    serve(line, *runner);
  } catch (const std::exception& problem) {
    // Not an answer to a job: what state the device is in nobody knows, so the next job gets another engine.
    fmt::print(stderr, "{}\n", one_line(problem.what()));
    ::_exit(kSoftwareFault);
  }
}
