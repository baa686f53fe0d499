// golden-check DIR... [--tokenizer DIR] [--device DEVICE] [-v]: runs the cases of the golden data in DIR and compares
// with the reference.

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "model/golden_tensors.hpp"
#include "runner.hpp"
#include "support/open_gpu.hpp"

int main(int argc, char** argv) {
  CLI::App app("Compares the model with the reference's numbers.");
  std::vector<std::string> folders;
  std::string tokenizer;
  bool verbose = false;
  app.add_option("DIR", folders, "Folders of golden data")->required();
  app.add_option("--tokenizer", tokenizer, "Folder of the full tokenizer")->check(CLI::ExistingPath);
  std::string device = "cpu";
  app.add_option("--device", device, "Where it is computed: cpu or cuda:N");
  app.add_flag("-v,--verbose", verbose, "Print every comparison");
  CLI11_PARSE(app, argc, argv);

  if (device != "cpu") {
    try {
      step1x::test::set_golden_device(step1x::test::open_gpu(device));
    } catch (const std::exception& problem) {
      fmt::print(stderr, "golden-check: --device {}: {}\n", device, problem.what());
      return 2;
    }
  }
  const at::NoGradGuard no_grad;
  step1x::test::Runner runner(tokenizer, verbose);
  for (const std::string& folder : folders) runner.walk(folder);
  return runner.finish() ? 0 : 1;
}
