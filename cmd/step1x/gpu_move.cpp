// step1x gpu offload, step1x gpu release: two names, one request each.
#include <memory>

#include "commands.hpp"
#include "move_request.hpp"

namespace step1x::cli {
namespace {

void add_move(CLI::App& gpu, Context& context, client::Move what, const char* help) {
  auto mode = std::make_shared<client::MoveMode>(client::MoveMode::refuse);
  CLI::App* command = gpu.add_subcommand(std::string(client::name(what)), help);
  add_mode_flags(*command, *mode);
  add_common_flags(*command, context);
  command->callback([mode, what, &context] {
    context.run = [mode, what, &context] {
      move_request(what, *mode, context);
      return ExitCode::ok;
    };
  });
}

}  // namespace

void add_gpu_offload(CLI::App& gpu, Context& context) {
  add_move(gpu, context, client::Move::offload, "Take the model off the GPU and keep it in memory");
}

void add_gpu_release(CLI::App& gpu, Context& context) {
  add_move(gpu, context, client::Move::release, "Take the model off the GPU and out of memory");
}

}  // namespace step1x::cli
