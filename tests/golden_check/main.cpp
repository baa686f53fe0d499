// golden-check DIR... [--tokenizer DIR] [-v]: runs the cases of the golden data in DIR and compares with the reference.

#include <ATen/core/grad_mode.h>

#include <CLI/CLI.hpp>

#include "runner.hpp"

int main(int argc, char** argv) {
  CLI::App app("Compares the model with the reference's numbers.");
  std::vector<std::string> folders;
  std::string tokenizer;
  bool verbose = false;
  app.add_option("DIR", folders, "Folders of golden data")->required();
  app.add_option("--tokenizer", tokenizer, "Folder of the full tokenizer")->check(CLI::ExistingPath);
  app.add_flag("-v,--verbose", verbose, "Print every comparison");
  CLI11_PARSE(app, argc, argv);

  const at::NoGradGuard no_grad;
  step1x::test::Runner runner(tokenizer, verbose);
  for (const std::string& folder : folders) runner.walk(folder);
  return runner.finish() ? 0 : 1;
}
