// step1x edit: one picture, one prompt, one result.
#include <memory>

#include "commands.hpp"
#include "picture_input.hpp"
#include "picture_job.hpp"
#include "resolve_model.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

struct EditFlags : JobFlags {
  std::string input;
  std::optional<std::string> output;
};

// <stem>-edited beside the input; stdin-edited here.
std::filesystem::path unnamed_output(const std::string& input) {
  const std::filesystem::path from = input == "-" ? "stdin" : input;
  std::filesystem::path path = from;
  return path.replace_filename(fmt::format("{}-edited", from.stem().string()));
}

ExitCode run_edit(const EditFlags& flags, const Context& context) {
  const config::Loaded loaded = apply_flags(load_settings(context), flags);
  PictureJob job(loaded, flags, context);
  const std::string prompt = read_prompt(flags, flags.input == "-");
  const PictureOutput output(unnamed_output(flags.input), flags.output, flags.format);
  check_standard_output(output, context);
  // Before a large picture is decoded for nothing.
  ipc::Json request = job_members(loaded, flags, prompt);
  const InputPicture picture = read_picture(flags.input, loaded.settings);
  job.note("read");
  if (picture.pictures > 1 && !context.quiet) say_error(further_pictures(picture.name, picture.pictures));
  output.check_sides(picture.width, picture.height);
  request["op"] = "edit";
  request["fd"] = "image";
  request["width"] = picture.width;
  request["height"] = picture.height;
  job.run(request, picture, output);
  return ExitCode::ok;
}

}  // namespace

void add_edit(CLI::App& app, Context& context) {
  auto flags = std::make_shared<EditFlags>();
  CLI::App* command = app.add_subcommand("edit", "Edit one picture as a prompt says");
  command->add_option("input", flags->input, "The picture to edit, or - for standard input")
      ->required()
      ->type_name("PICTURE");
  command
      ->add_option(
          "-o,--output", flags->output,
          "Write here, replacing what is there; - for standard output; default: <input>-edited.png, replacing nothing")
      ->type_name("FILE");
  add_job_flags(*command, *flags);
  add_input_flags(*command, *flags);
  add_json_flag(*command, context);
  add_common_flags(*command, context);
  command->footer(
      "Examples:\n  step1x edit photo.jpg -p \"make the sky red\" -o out.png\n  step1x edit - -p \"as a pencil "
      "drawing\" -o - < in.png > out.png");
  command->callback([flags, &context] { context.run = [flags, &context] { return run_edit(*flags, context); }; });
}

}  // namespace step1x::cli
