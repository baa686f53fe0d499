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
  PictureJob job(loaded, flags, context);
  const std::string prompt = read_prompt(flags, false);
  const PictureOutput output("generated", flags.output, flags.format);
  check_standard_output(output, context);
  ipc::Json request = job_members(loaded, flags, prompt);
  request["op"] = "generate";
  request["width"] = flags.width;
  request["height"] = flags.height;
  job.run(request, InputPicture{}, output);
  return ExitCode::ok;
}

}  // namespace

void add_generate(CLI::App& app, Context& context) {
  auto flags = std::make_shared<GenerateFlags>();
  CLI::App* command = app.add_subcommand("generate", "Make a picture from a prompt alone");
  command
      ->add_option(
          "-o,--output", flags->output,
          "Write here, replacing what is there; - for standard output; default: generated.png, replacing nothing")
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
  add_json_flag(*command, context);
  add_common_flags(*command, context);
  command->footer("Example:\n  step1x generate -p \"a lighthouse at dusk\" --width 768 --height 512 -o lighthouse.png");
  command->callback([flags, &context] { context.run = [flags, &context] { return run_generate(*flags, context); }; });
}

}  // namespace step1x::cli
