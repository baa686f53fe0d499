// step1x generate: a picture from words alone.
#include <memory>

#include "commands.hpp"
#include "picture_job.hpp"
#include "settings.hpp"

namespace step1x::cli {
namespace {

struct GenerateFlags : JobFlags {
  std::optional<std::string> output;
  int width = 1024;
  int height = 1024;
};

ExitCode run_generate(const GenerateFlags& flags, const Context& context) {
  const config::Loaded loaded = apply_flags(load_settings(context), flags);
  PictureJobs jobs(loaded, flags, context);
  jobs.expect(1);
  const std::string prompt = read_prompt(flags, false);
  const auto folder = output_folder(flags.output);
  PictureOutput output(folder.value_or("") / "generated", folder ? std::nullopt : flags.output, flags.format,
                       flags.count);
  check_standard_output(output, context);
  check_quality(flags.quality, output.format());
  ipc::Json request = job_members(loaded, flags, prompt);
  request["op"] = "generate";
  request["width"] = flags.width;
  request["height"] = flags.height;
  jobs.run(request, InputPicture{}, output);
  return jobs.exit();
}

}  // namespace

void add_generate(CLI::App& app, Context& context) {
  auto flags = std::make_shared<GenerateFlags>();
  CLI::App* command = app.add_subcommand("generate", "Make a picture from a prompt alone");
  command
      ->add_option(
          "-o,--output", flags->output,
          "Write here, replacing what is there; - for standard output; default, and in a folder: generated.png, "
          "replacing nothing")
      ->type_name("FILE");
  command->add_option("--width", flags->width, "Width of the picture in pixels; default 1024")
      ->type_name("N")
      ->transform(decimal())
      ->check(CLI::Range(16, 4096));
  command->add_option("--height", flags->height, "Height of the picture in pixels; default 1024")
      ->type_name("N")
      ->transform(decimal())
      ->check(CLI::Range(16, 4096));
  add_job_flags(*command, *flags);
  add_count_flag(*command, *flags);
  add_quality_flag(*command, *flags);
  add_json_flag(*command, context);
  add_common_flags(*command, context);
  command->footer("Example:\n  step1x generate -p \"a lighthouse at dusk\" --width 768 --height 512 -o lighthouse.png");
  command->callback([flags, &context] { context.run = [flags, &context] { return run_generate(*flags, context); }; });
}

}  // namespace step1x::cli
