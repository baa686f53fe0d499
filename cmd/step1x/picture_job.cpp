#include "picture_job.hpp"

#include "base/atomic_file.hpp"
#include "image/encode.hpp"
#include "image/provenance.hpp"
#include "ipc/fields.hpp"
#include "ipc/picture.hpp"
#include "isolated.hpp"
#include "resolve_model.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

nlohmann::ordered_json record(const ipc::Json& request, const JobResult& result, const std::string& input,
                              const std::string& path, const ipc::Json& client_timings) {
  nlohmann::ordered_json out;
  add_path(out, "output", path);
  if (!input.empty()) add_path(out, "input", input);
  for (const char* key : {"width", "height", "seed"}) out[key] = result.done[key];
  out.update(request::all_parameters(request, !input.empty()));
  // Which one `auto` came to be, and where a prompt was cut off.
  for (const char* key : {"device", "prompt_cut", "negative_prompt_cut"}) {
    if (result.done.contains(key)) out[key] = result.done[key];
  }
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

void PictureJobs::begin() {
  start_ = Clock::now();
  timings_ = ipc::Json::object();
}

void PictureJobs::note(const char* name) {
  timings_[name] = std::chrono::duration<double>(Clock::now() - start_).count();
}

void PictureJobs::run(const ipc::Json& request, const InputPicture& input, PictureOutput& output) {
  const auto first = request["seed"].get<std::int64_t>();
  for (int n = 1; n <= flags_.count; ++n) {
    if (n > 1) begin();
    ipc::Json one = request;
    one["seed"] = first + n - 1;
    if (!attempt(input.name, 1, [&] { run_one(one, input, output, n); })) return;
  }
}

JobResult PictureJobs::compute(const ipc::Json& request, const InputPicture& input) {
  if (!jobs_) {
    JobOptions options;
    options.client = client_options(loaded_.settings, context_);
    if (flags_.isolated) options.client = isolated(std::move(options.client));
    if (expected_ > 1) options.lease = {{"op", "lease"}, {"label", request["op"]}, {"model", request["model"]}};
    options.verbose = context_.verbose;
    progress_.emplace(Progress::choose(context_.quiet, flags_.progress_json));
    jobs_.emplace(std::move(options), limit_, *progress_);
  }
  JobResult result = jobs_->run(request, input.fd.get());
  progress_->clear();
  // The model may go before the last picture is written: the GPU has nothing to do any more.
  if (done_ + failed_ + 1 == expected_) jobs_.reset();
  return result;
}

void PictureJobs::run_one(const ipc::Json& request, const InputPicture& input, PictureOutput& output, int n) {
  const JobResult result = compute(request, input);
  for (const char* which : {"prompt", "negative_prompt"}) {
    const std::string member = std::string(which) + "_cut";
    if (!result.done.contains(member)) continue;
    const ipc::Fields cut(result.done[member]);
    notice(fmt::format("of the {} tokens of the {} {} were taken: it was cut off after \"{}\"",
                       cut.integer("tokens", 0, INT64_MAX), which, cut.integer("kept", 0, INT64_MAX),
                       cut.text("after")));
  }
  const auto encode = Clock::now();
  const int width = result.done.at("width").get<int>();
  const int height = result.done.at("height").get<int>();
  const ipc::PictureView pixels(result.picture.get(), width, height);
  const bool edited = request["op"] == "edit";
  image::EncodeOptions options;
  if (loaded_.settings.quality > 0) options.quality = static_cast<int>(loaded_.settings.quality);
  options.metadata =
      image::result_metadata({loaded_.settings.metadata, !loaded_.settings.strip}, input.metadata,
                             {edited, model_label(loaded_), request::picture_parameters(request, edited)});
  const std::vector<std::byte> bytes = image::encode(pixels.pixels(), width, height, output.format(), options);
  const std::string path = output.write(bytes, n);
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
  ++done_;
}

void PictureJobs::notice(const std::string& line) {
  if (context_.quiet) return;
  if (progress_) progress_->clear();
  say_error(line);
}

// False: it is the command's own failure.
bool PictureJobs::failed(const std::string& input, std::size_t pictures, const Error& problem) {
  if (expected_ == 1 || problem.code() == ErrorCode::cancelled || problem.code() == ErrorCode::timeout) return false;
  if (progress_) progress_->clear();
  failed_ += pictures;
  why_.insert(problem.code());
  const std::string what = problem.what();
  const bool named = input.empty() || what.find(input) != std::string::npos;
  say_error(named ? what : fmt::format("{}: {}", input, what));
  if (context_.json) {
    nlohmann::ordered_json line;
    if (!input.empty()) add_path(line, "input", input);
    line.update(error_record(problem.code(), problem.what()));
    print_json(line);
  }
  // Neither what the worker said of this job nor a picture that cannot be read: it is the same for those that follow.
  const bool of_this_one =
      dynamic_cast<const JobFailed*>(&problem) != nullptr || problem.code() == ErrorCode::bad_image;
  stopped_ = dynamic_cast<const PlaceRefuses*>(&problem) != nullptr ||
             (!of_this_one && problem.code() != ErrorCode::failure && problem.code() != ErrorCode::usage);
  const std::size_t left = expected_ - done_ - failed_;
  if (stopped_ && left > 0) say_error(fmt::format("not begun: {} of the {} pictures", left, expected_));
  return true;
}

ExitCode PictureJobs::exit() const {
  if (failed_ == 0) return ExitCode::ok;
  if (done_ > 0) return ExitCode::partial;
  return why_.size() == 1 ? exit_code(*why_.begin()) : ExitCode::failure;
}

}  // namespace step1x::cli
