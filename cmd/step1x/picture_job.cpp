#include "picture_job.hpp"

#include "image/encode.hpp"
#include "image/provenance.hpp"
#include "ipc/picture.hpp"
#include "isolated.hpp"
#include "one_job.hpp"
#include "resolve_model.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

nlohmann::ordered_json record(const ipc::Json& request, const JobResult& result, const std::string& input,
                              const std::string& path, const ipc::Json& client_timings) {
  nlohmann::ordered_json out;
  out["output"] = path;
  if (!input.empty()) out["input"] = input;
  for (const char* key : {"width", "height", "seed"}) out[key] = result.done[key];
  out.update(request::all_parameters(request, !input.empty()));
  out["timings"] = result.done.value("timings", ipc::Json::object());
  for (const auto& [name, seconds] : client_timings.items()) out["timings"][name] = seconds;
  out["worker"] = {{"pid", result.worker.pid},
                   {"version", result.worker.version},
                   {"build", result.worker.build},
                   {"spawned", result.spawned}};
  return out;
}

}  // namespace

void check_standard_output(const PictureOutput& output, const Context& context) {
  if (output.is_stdout() && context.json)
    throw Error(ErrorCode::usage, "--json and --output -: both want standard output; choose one");
}

void PictureJob::note(const char* name) {
  timings_[name] = std::chrono::duration<double>(Clock::now() - start_).count();
}

void PictureJob::run(const ipc::Json& request, const InputPicture& input, const PictureOutput& output) {
  JobOptions job;
  job.client = client_options(loaded_.settings, context_);
  if (flags_.isolated) job.client = isolated(std::move(job.client));
  job.timeout = loaded_.settings.timeout;
  job.verbose = context_.verbose;
  Progress progress(Progress::choose(context_.quiet, flags_.progress_json));
  const JobResult result = run_job(request, input.fd.get(), job, progress);
  progress.clear();

  const auto encode = Clock::now();
  const int width = result.done.at("width").get<int>();
  const int height = result.done.at("height").get<int>();
  const ipc::PictureView pixels(result.picture.get(), width, height);
  const bool edited = request["op"] == "edit";
  image::EncodeOptions options;
  options.metadata =
      image::result_metadata({loaded_.settings.metadata, !loaded_.settings.strip}, input.metadata,
                             {edited, model_label(loaded_), request::picture_parameters(request, edited)});
  const std::vector<std::byte> bytes = image::encode(pixels.pixels(), width, height, output.format(), options);
  const std::string path = output.write(bytes);
  timings_["write"] = std::chrono::duration<double>(Clock::now() - encode).count();
  note("all");
  if (context_.json) {
    print_json(record(request, result, input.name, path, timings_));
  } else if (!output.is_stdout()) {
    print_path(path);
  }
  if (context_.verbose) {
    say(fmt::format("step1x: seed {}, {:.2f} s", request["seed"].get<std::int64_t>(), timings_["all"].get<double>()));
  }
}

}  // namespace step1x::cli
