// step1x serve: the worker for who speaks HTTP. In the foreground, for systemd or a terminal; a client of the worker
// like the other commands: it holds no model.
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <csignal>
#include <memory>
#include <utility>

#include "base/utf8.hpp"
#include "commands.hpp"
#include "http/gpu_api.hpp"
#include "http/server.hpp"
#include "http/token.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

namespace asio = boost::asio;

struct ServeFlags {
  std::string listen = "127.0.0.1:8642";
  std::optional<std::string> token_file;
  std::vector<std::string> hosts;
  std::vector<std::string> origins;
};

// For answers that are under way.
constexpr std::chrono::seconds kGrace{10};

http::Access access_of(const ServeFlags& flags, const http::Address& address) {
  http::Access access;
  for (const std::string& host : flags.hosts) {
    if (host.find_first_of("/: ") != std::string::npos)
      throw Error::format(ErrorCode::usage, "--allowed-host {}: it is a name alone, without scheme and port",
                          printable(host));
    access.hosts.push_back(lower_ascii(host));
  }
  for (const std::string& origin : flags.origins) {
    const auto host = origin.find("://");
    if (host == std::string::npos || origin.find('/', host + 3) != std::string::npos)
      throw Error::format(ErrorCode::usage, "--allowed-origin {}: it is scheme, name and port, as https://example.org",
                          printable(origin));
    access.origins.push_back(lower_ascii(origin));
  }
  access.token = http::read_token(flags.token_file);
  if (access.token.empty() && !http::is_local(address))
    throw Error::format(ErrorCode::usage,
                        "--listen {}: others than this machine can reach that, and without a token anybody could use "
                        "the GPU; give one with --token-file or STEP1X_TOKEN",
                        flags.listen);
  return access;
}

// The first signal ends it when the running answers are given, a second one at once.
class Ending {
 public:
  Ending(asio::io_context& io, http::Server& server, http::GpuApi& api)
      : io_(io), server_(server), api_(api), signals_(io, SIGINT, SIGTERM, SIGHUP), timer_(io) {
    wait();
  }

 private:
  void wait() {
    signals_.async_wait([this](const boost::system::error_code& problem, int /*signal*/) {
      if (problem) return;
      // Also of what a thread waits for.
      if (std::exchange(stopping_, true)) ::_exit(static_cast<int>(ExitCode::interrupted));
      api_.stop();
      server_.stop([this] { io_.stop(); });
      timer_.expires_after(kGrace);
      timer_.async_wait([](const boost::system::error_code& ended) {
        if (!ended) ::_exit(static_cast<int>(ExitCode::ok));
      });
      wait();
    });
  }

  asio::io_context& io_;
  http::Server& server_;
  http::GpuApi& api_;
  asio::signal_set signals_;
  asio::steady_timer timer_;
  bool stopping_ = false;
};

ExitCode run_serve(const ServeFlags& flags, const Context& context) {
  const http::Address address = http::parse_address(flags.listen);
  http::Access access = access_of(flags, address);
  ipc::ClientOptions options = client_options(load_settings(context).settings, context);
  asio::io_context io(1);
  http::GpuApi api(std::move(options), say_error);
  http::Server server(io, std::move(access), [&api](http::Request request) { return api.answer(std::move(request)); });
  const std::string where = server.listen(address);
  const Ending ending(io, server, api);
  if (!context.quiet) say(fmt::format("step1x: serving at {}", printable(where)));
  io.run();
  return ExitCode::ok;
}

}  // namespace

void add_serve(CLI::App& app, Context& context) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = app.add_subcommand("serve", "Serve the worker over HTTP, in the foreground");
  command
      ->add_option("--listen", flags->listen,
                   "Listen here: 127.0.0.1:8642 (default), [::1]:PORT, unix:PATH, or systemd for a socket of its own; "
                   "other addresses need a token")
      ->type_name("ADDRESS");
  command
      ->add_option("--token-file", flags->token_file,
                   "Let in who sends the token in this file, which its owner alone may read; default: STEP1X_TOKEN")
      ->type_name("FILE");
  command->add_option("--allowed-host", flags->hosts, "A name by which this machine is called too; may be repeated")
      ->type_name("NAME")
      ->expected(1)
      ->take_all();
  command
      ->add_option("--allowed-origin", flags->origins,
                   "Let pages of this site in, as https://example.org; may be repeated")
      ->type_name("URL")
      ->expected(1)
      ->take_all();
  add_common_flags(*command, context);
  command->footer(
      "Examples:\n  step1x serve\n  curl http://127.0.0.1:8642/api/gpu/status\n  curl -X POST "
      "'http://127.0.0.1:8642/api/gpu/offload?mode=wait'");
  command->callback([flags, &context] { context.run = [flags, &context] { return run_serve(*flags, context); }; });
}

}  // namespace step1x::cli
