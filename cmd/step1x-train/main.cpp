// step1x-train makes the demo model: a tool for those who build step1x, not installed. scripts/train-demo runs it.
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <malloc.h>

#include <CLI/CLI.hpp>

#include "base/error.hpp"
#include "trainings.hpp"

namespace step1x::train {

namespace {

void add_part(CLI::App& app, const char* name, const char* help, Options& options, void (*part)(const Options&)) {
  CLI::App* command = app.add_subcommand(name, help);
  command->add_option("--model", options.model, "Folder of the model")->required()->check(CLI::ExistingDirectory);
  command->add_option("--photos", options.photographs, "Folder of photographs")
      ->required()
      ->check(CLI::ExistingDirectory);
  command->add_option("--state", options.state, "Folder for what is kept from run to run")->required();
  command->add_option("--steps", options.steps, "Steps in all, those of earlier runs included")->required();
  command->add_option("--batch", options.batch, "Pieces a step")->required();
  command->add_option("--rate", options.rate, "Highest rate")->required();
  command->add_option("--seed", options.seed, "Start of all chance");
  command->add_option("--drawings", options.drawings, "How many pictures to draw");
  command->callback([&options, part] {
    std::filesystem::create_directories(options.state);
    part(options);
  });
}

int run(int argc, char** argv) {
  CLI::App app("Trains the demo model");
  app.require_subcommand(1);
  Options options;
  options.drawings = 1500;
  int threads = 0;
  app.add_option("--threads", threads, "Threads; 0: as many as there are cores");
  app.parse_complete_callback([&] {
    // Every step takes the same memory again: giving it back in between costs as much as some of the layers.
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    if (threads > 0) at::set_num_threads(threads);
  });
  add_part(app, "vae", "The VAE", options, train_vae);
  add_part(app, "edits", "Text encoder, connector and transformer", options, train_edits);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  return 0;
}

}  // namespace
}  // namespace step1x::train

int main(int argc, char** argv) {
  try {
    return step1x::train::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "step1x-train: {}\n", error.what());
    return 1;
  }
}
