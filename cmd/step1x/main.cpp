// step1x: the client. Parses the command line and runs one command; the one place where an error becomes a line and an
// exit code.
#include <algorithm>
#include <sstream>

#include "base/process.hpp"
#include "client/signals.hpp"
#include "commands.hpp"
#include "terminal.hpp"

using namespace step1x;

namespace {

ExitCode report(const cli::Context& context, ErrorCode code, const std::string& message) {
  cli::say_error(message);
  if (context.json) cli::print_error_record(code, message);
  return exit_code(code);
}

ExitCode run(int argc, char** argv, cli::Context& context) {
  CLI::App app;
  cli::define(app, context);
  try {
    std::vector<std::string> words = cli::as_they_are({argv + 1, argv + argc});
    std::ranges::reverse(words);  // as this parser wants them
    app.parse(std::move(words));
  } catch (const CLI::Success& help_or_version) {
    std::ostringstream text;
    app.exit(help_or_version, text);
    cli::print(text.str());
    return ExitCode::ok;
  } catch (const CLI::ParseError& problem) {
    return report(context, ErrorCode::usage, one_line(problem.what()) + "; try: step1x --help");
  }
  return context.run();
}

}  // namespace

int main(int argc, char** argv) {
  begin_process();
  client::leave_at_signals();
  cli::Context context;
  try {
    return static_cast<int>(run(argc, argv, context));
  } catch (const Error& problem) {
    return static_cast<int>(report(context, problem.code(), problem.what()));
  } catch (const std::exception& problem) {
    return static_cast<int>(report(context, ErrorCode::failure, problem.what()));
  }
}
