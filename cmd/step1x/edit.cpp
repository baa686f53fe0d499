// step1x edit: a picture, or a few, one prompt, a result of each.
#include <algorithm>
#include <map>
#include <memory>

#include "commands.hpp"
#include "picture_input.hpp"
#include "picture_job.hpp"
#include "resolve_model.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

namespace fs = std::filesystem;

struct EditFlags : JobFlags {
  std::vector<std::string> inputs;
  std::optional<std::string> output;
};

struct EditTask {
  std::string input;
  PictureOutput output;
};

// <stem>-edited beside the input, or in the folder; stdin-edited here.
fs::path unnamed_output(const std::string& input, const std::optional<fs::path>& folder) {
  const fs::path from = input == "-" ? "stdin" : input;
  const std::string name = fmt::format("{}-edited", from.stem().string());
  fs::path path = from;
  return folder ? *folder / name : path.replace_filename(name);
}

// --format same, in letters. `content`: of what has no name.
std::optional<std::string> format_of(const std::optional<std::string>& wanted, const std::string& input,
                                     std::optional<image::Format> content = std::nullopt) {
  if (wanted != "same") return wanted;
  const auto own = input == "-" ? content : image::format_from_extension(input);
  const image::Format result = image::result_format(own);
  if (input != "-" && own == result) return fs::path(input).extension().string().substr(1);
  return lower_ascii(std::string(image::name(result)));
}

PictureOutput output_of(const EditFlags& flags, const std::string& input, const std::optional<fs::path>& folder,
                        std::optional<image::Format> content = std::nullopt) {
  return {unnamed_output(input, folder), folder ? std::nullopt : flags.output, format_of(flags.format, input, content),
          flags.count};
}

// --format same of standard input: nobody knows before it is read.
bool format_comes_later(const EditFlags& flags, const std::string& input) {
  return input == "-" && flags.format == "same";
}

// Where each result goes. Throws Error(usage) for what cannot be.
std::vector<EditTask> make_tasks(const EditFlags& flags, const Context& context) {
  const auto folder = output_folder(flags.output);
  if (flags.inputs.size() > 1 && flags.output && !folder) {
    throw Error::format(ErrorCode::usage,
                        "--output {}: the results of {} pictures need a folder; write {}/ to make one", *flags.output,
                        flags.inputs.size(), *flags.output == "-" ? "edited" : *flags.output);
  }
  std::vector<EditTask> tasks;
  std::map<fs::path, std::string> taken;
  for (const std::string& input : flags.inputs) {
    tasks.push_back({input, output_of(flags, input, folder)});
    const PictureOutput& output = tasks.back().output;
    check_standard_output(output, context);
    if (!format_comes_later(flags, input)) check_quality(flags.quality, output.format());
    std::error_code ignored;
    const auto [other, is_new] = taken.emplace(fs::weakly_canonical(output.path(), ignored), input);
    if (!is_new) {
      throw Error::format(ErrorCode::usage, "{} and {} would both be {}: edit them one after the other", other->second,
                          input, output.path().string());
    }
  }
  return tasks;
}

// Before the first job: what cannot be read is told at once, and not after an hour. Returns the others.
std::vector<EditTask> readable(std::vector<EditTask> tasks, const config::Settings& settings, PictureJobs& jobs,
                               int count) {
  if (tasks.size() < 2) return tasks;
  std::vector<EditTask> good;
  for (EditTask& task : tasks) {
    jobs.attempt(task.input, static_cast<std::size_t>(count), [&] {
      if (task.input != "-") {
        const image::Decoder header = image::Decoder::from_file(task.input, limits_of(settings));
        task.output.check_sides(header.width(), header.height());
      }
      good.push_back(std::move(task));
    });
  }
  return good;
}

void edit_one(EditTask& task, const EditFlags& flags, const config::Settings& settings, ipc::Json request,
              PictureJobs& jobs) {
  const InputPicture picture = read_picture(task.input, settings);
  jobs.note("read");
  if (picture.pictures > 1) jobs.notice(further_pictures(picture.name, picture.pictures));
  if (format_comes_later(flags, task.input)) {
    task.output = output_of(flags, task.input, output_folder(flags.output), picture.format);
    check_quality(flags.quality, task.output.format());
  }
  task.output.check_sides(picture.width, picture.height);
  request["op"] = "edit";
  request["fd"] = "image";
  request["width"] = picture.width;
  request["height"] = picture.height;
  jobs.run(request, picture, task.output);
}

ExitCode run_edit(const EditFlags& flags, const Context& context) {
  const config::Loaded loaded = apply_flags(load_settings(context), flags);
  PictureJobs jobs(loaded, flags, context);
  jobs.expect(flags.inputs.size());
  const std::string prompt = read_prompt(flags, std::ranges::find(flags.inputs, "-") != flags.inputs.end());
  // Before a folder is made, or a large picture decoded, for nothing.
  const ipc::Json request = job_members(loaded, flags, prompt);
  std::vector<EditTask> tasks = make_tasks(flags, context);
  tasks = readable(std::move(tasks), loaded.settings, jobs, flags.count);
  for (EditTask& task : tasks) {
    if (tasks.size() > 1) jobs.begin();
    const bool go_on = jobs.attempt(task.input, static_cast<std::size_t>(flags.count),
                                    [&] { edit_one(task, flags, loaded.settings, request, jobs); });
    if (!go_on) break;
  }
  return jobs.exit();
}

}  // namespace

void add_edit(CLI::App& app, Context& context) {
  auto flags = std::make_shared<EditFlags>();
  CLI::App* command = app.add_subcommand("edit", "Edit a picture as a prompt says, or a few");
  command->add_option("input", flags->inputs, "The picture to edit, or - for standard input; or several")
      ->required()
      ->type_name("PICTURE");
  command
      ->add_option("-o,--output", flags->output,
                   "Write here, replacing what is there; - for standard output; default: <input>-edited.png, replacing "
                   "nothing, and with a folder the same in it")
      ->type_name("FILE");
  add_job_flags(*command, *flags);
  add_count_flag(*command, *flags);
  add_quality_flag(*command, *flags);
  add_input_flags(*command, *flags);
  command->get_option("--format")
      ->description(
          "png, jpeg, webp, tiff, gif, avif or heic, or same: as the input; default: by the name of the output");
  add_json_flag(*command, context);
  add_common_flags(*command, context);
  command->footer(
      "Examples:\n  step1x edit photo.jpg -p \"make the sky red\" -o out.png\n  step1x edit *.jpg -p \"make the sky "
      "red\" -o edited/\n  step1x edit - -p \"as a pencil drawing\" -o - < in.png > out.png");
  command->callback([flags, &context] { context.run = [flags, &context] { return run_edit(*flags, context); }; });
}

}  // namespace step1x::cli
