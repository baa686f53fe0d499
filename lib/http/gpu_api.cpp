#include "http/gpu_api.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <chrono>
#include <type_traits>

#include "base/utf8.hpp"
#include "client/ask.hpp"
#include "client/status.hpp"
#include "http/metrics.hpp"

namespace step1x::http {
namespace {

namespace asio = boost::asio;
using Json = nlohmann::ordered_json;

constexpr std::size_t kThreads = 4;
constexpr std::chrono::seconds kPatience{10};
constexpr std::chrono::milliseconds kTurn{200};

// What blocks, in the pool; the caller goes on in its own thread.
template <typename F>
asio::awaitable<std::invoke_result_t<F>> within(asio::thread_pool& pool, F blocking) {
  co_return co_await asio::co_spawn(
      pool, [&blocking]() -> asio::awaitable<std::invoke_result_t<F>> { co_return blocking(); }, asio::use_awaitable);
}

std::string written(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

// A parameter that is not honoured is never passed over.
void only(const Request& request, std::string_view allowed) {
  for (const auto& [name, value] : request.query) {
    if (name != allowed) {
      throw Error::format(ErrorCode::usage, "{} takes no parameter '{}'{}", request.path, printable(name),
                          allowed.empty() ? "" : fmt::format("; there is {}", allowed));
    }
  }
}

client::MoveMode mode_of(const Request& request) {
  only(request, "mode");
  const auto given = request.query.find("mode");
  if (given == request.query.end() || given->second == "refuse") return client::MoveMode::refuse;
  if (given->second == "wait") return client::MoveMode::wait;
  if (given->second == "force") return client::MoveMode::force;
  throw Error::format(ErrorCode::usage, "mode={}: it is refuse, wait or force", printable(given->second));
}

}  // namespace

GpuApi::GpuApi(ipc::ClientOptions options, std::function<void(const std::string&)> ended)
    : options_(std::move(options)), ended_(std::move(ended)), pool_(kThreads) {
  options_.timeout = kPatience;
}

GpuApi::~GpuApi() {
  pool_.join();
}

asio::awaitable<Response> GpuApi::answer(Request request) {
  struct Route {
    std::string_view method;
    std::string_view path;
  };
  constexpr std::array kRoutes{Route{"GET", "/healthz"}, Route{"GET", "/metrics"}, Route{"GET", "/api/gpu/status"},
                               Route{"POST", "/api/gpu/offload"}, Route{"POST", "/api/gpu/release"}};
  for (const Route& route : kRoutes) {
    if (route.path != request.path) continue;
    if (route.method != request.method) {
      Response response = error_response(405, "wrong_method", fmt::format("{} is for {}", route.path, route.method));
      response.headers.emplace_back("Allow", route.method == "GET" ? "GET, HEAD" : "POST");
      co_return response;
    }
    if (route.path == "/healthz") co_return Response{200, "text/plain", "ok\n", {}};
    if (route.path == "/metrics") co_return co_await metrics(request);
    if (route.path == "/api/gpu/status") co_return co_await status(request);
    co_return co_await move(route.path.ends_with("offload") ? client::Move::offload : client::Move::release, request);
  }
  co_return error_response(404, "no_such_path",
                           fmt::format("there is nothing at {}; see step1x-serve(1)", printable(request.path)));
}

asio::awaitable<Response> GpuApi::status(const Request& request) {
  only(request, "");
  const Json status = co_await within(pool_, [this] { return client::read_status(options_); });
  co_return Response{200, "application/json", written(status), {}};
}

asio::awaitable<Response> GpuApi::metrics(const Request& request) {
  only(request, "");
  const Json status = co_await within(pool_, [this] { return client::read_status(options_); });
  co_return Response{200, "text/plain; version=0.0.4; charset=utf-8", metrics_of(status), {}};
}

asio::awaitable<Response> GpuApi::move(client::Move what, const Request& request) {
  const client::MoveMode mode = mode_of(request);
  // Who waits asks again and again: a thread that waited for the end of a batch would be missed, and this one can be
  // ended.
  const client::MoveMode once = mode == client::MoveMode::wait ? client::MoveMode::refuse : mode;
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (;;) {
    std::optional<client::Busy> busy;
    try {
      co_await within(pool_, [&] { return client::move(what, once, options_, ended_); });
    } catch (const client::Busy& problem) {
      busy = problem;
    }
    if (!busy) break;
    if (mode != client::MoveMode::wait || stopping_) co_return error_response(*busy, {{"position", busy->position()}});
    timer.expires_after(kTurn);
    co_await timer.async_wait(asio::use_awaitable);
  }
  const Json status = co_await within(pool_, [this] { return client::read_status(options_); });
  co_return Response{200, "application/json", written(status), {}};
}

}  // namespace step1x::http
