// step1x gpu load: brings the model to the GPU, for who wants the first edit at once.
#include <memory>

#include "commands.hpp"
#include "job_flags.hpp"
#include "jobs.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

ExitCode run_load(const JobFlags& flags, const Context& context) {
  const config::Loaded loaded = apply_flags(load_settings(context), flags);
  const TimeLimit limit(loaded.settings.timeout, context.json);
  ipc::Json request = job_members(loaded, flags, "load");
  request["op"] = "load";
  // What every job has. There is no picture.
  request["width"] = request["height"] = 1;
  JobOptions options;
  options.client = client_options(loaded.settings, context);
  options.verbose = context.verbose;
  Progress progress(Progress::choose(context.quiet, flags.progress_json));
  Jobs jobs(std::move(options), limit, progress);
  const JobResult result = jobs.run(request, -1);
  progress.clear();
  if (context.json) {
    print_json({{"model", request["model"]},
                {"device", result.done["device"]},
                {"timings", result.done["timings"]},
                {"worker", {{"pid", result.worker.pid}, {"spawned", result.spawned}}}});
  } else if (context.verbose) {
    say(fmt::format("step1x: the model is on {}", result.done["device"].get<std::string>()));
  }
  return ExitCode::ok;
}

}  // namespace

void add_gpu_load(CLI::App& gpu, Context& context) {
  auto flags = std::make_shared<JobFlags>();
  CLI::App* command = gpu.add_subcommand("load", "Bring the model to the GPU, without an edit");
  add_model_flags(*command, *flags);
  add_json_flag(*command, context);
  add_common_flags(*command, context);
  command->footer("Example:\n  step1x gpu load --keep 10m");
  command->callback([flags, &context] { context.run = [flags, &context] { return run_load(*flags, context); }; });
}

}  // namespace step1x::cli
