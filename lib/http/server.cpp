#include "http/server.hpp"

#include <unistd.h>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/version.hpp>

#include <array>
#include <cstring>
#include <exception>
#include <list>
#include <optional>

#include "base/version.hpp"
#include "http/listener.hpp"

namespace step1x::http {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace wire = boost::beast::http;
using boost::system::error_code;

namespace {

// Of a request that is not wanted.
constexpr std::size_t kUnread = 1U << 20U;

template <typename Protocol>
using Stream = beast::basic_stream<Protocol, asio::any_io_executor>;

template <typename Fields>
Head head_of(const Fields& fields, const std::string& path) {
  Head head;
  head.path = path;
  const auto take = [&](wire::field name, std::optional<std::string>& into) {
    const auto [first, last] = fields.equal_range(name);
    if (first == last) return;
    into = std::string(first->value());
    head.twice = head.twice || std::next(first) != last;
  };
  take(wire::field::host, head.host);
  take(wire::field::origin, head.origin);
  take(wire::field::authorization, head.authorization);
  // Beast has no name for it.
  for (const auto& field : fields) {
    if (!beast::iequals(field.name_string(), "Sec-Fetch-Site")) continue;
    head.twice = head.twice || head.fetch_site.has_value();
    head.fetch_site = std::string(field.value());
  }
  return head;
}

wire::response<wire::string_body> on_the_wire(Response response, bool keep_alive) {
  wire::response<wire::string_body> out(static_cast<wire::status>(response.status), 11);
  out.set(wire::field::server, std::string("step1x/") + kVersion);
  if (!response.body.empty()) out.set(wire::field::content_type, response.type);
  out.set(wire::field::cache_control, "no-store");
  out.set("X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : response.headers) out.set(name, value);
  out.keep_alive(keep_alive);
  out.body() = std::move(response.body);
  out.prepare_payload();
  return out;
}

// What of a head that could not be read its sender is told; none: there is nobody to tell.
std::optional<Response> told_of(const error_code& problem, bool begun) {
  if (problem == wire::error::header_limit)
    return error_response(431, "header_too_long", "the head of the request is longer than 16 KiB");
  if (problem == wire::error::body_limit)
    return error_response(413, "body_too_long", "the body of the request is longer than what may be sent there");
  if (problem == beast::error::timeout && begun)
    return error_response(408, "too_slow", "the rest of the request did not come in time");
  if (problem == wire::error::end_of_stream || problem == wire::error::partial_message) return std::nullopt;
  if (problem.category() == wire::make_error_code(wire::error::bad_target).category())
    return error_response(400, "bad_request", "this is no HTTP/1.1 request: " + problem.message());
  return std::nullopt;
}

}  // namespace

class Server::Impl {
 public:
  Impl(asio::io_context& io, Access access, Handler handler, Limits limits)
      : io_(io), access_(std::move(access)), handler_(std::move(handler)), limits_(limits) {}

  std::string listen(const Address& address) {
    if (const auto* endpoint = std::get_if<asio::ip::tcp::endpoint>(&address)) {
      return open_tcp(listen_at(*endpoint));
    }
    if (const auto* path = std::get_if<std::filesystem::path>(&address)) {
      UniqueFd fd = listen_at(*path);
      socket_ = std::filesystem::absolute(*path);
      open<asio::local::stream_protocol>(std::move(fd), {});
      return "unix:" + path->string();
    }
    UniqueFd fd = listener_of_systemd();
    sockaddr_storage about{};
    socklen_t size = sizeof about;
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&about), &size);
    if (about.ss_family == AF_UNIX) {
      open<asio::local::stream_protocol>(std::move(fd), {});
      return "a Unix socket of systemd's";
    }
    return open_tcp(std::move(fd));
  }

  void stop(std::function<void()> gone) {
    if (std::exchange(stopping_, true)) return;
    gone_ = std::move(gone);
    if (!socket_.empty()) ::unlink(socket_.c_str());
    for (const auto& close : doors_) close();
    for (const Entry& entry : entries_) {
      if (!entry.answering) entry.close();
    }
    if (entries_.empty()) asio::post(io_, gone_);
  }

 private:
  // A connection as stop() sees it.
  struct Entry {
    bool answering = false;
    std::function<void()> close;
  };

  std::string open_tcp(UniqueFd fd) {
    sockaddr_storage about{};
    socklen_t size = sizeof about;
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&about), &size);
    asio::ip::tcp::endpoint endpoint;
    std::memcpy(endpoint.data(), &about, size);
    for (std::string& origin : own_origins(endpoint)) access_.origins.push_back(std::move(origin));
    open<asio::ip::tcp>(std::move(fd), endpoint);
    return url_of(endpoint);
  }

  template <typename Protocol>
  void open(UniqueFd fd, const typename Protocol::endpoint& endpoint) {
    using Acceptor = asio::basic_socket_acceptor<Protocol, asio::any_io_executor>;
    auto acceptor = std::make_shared<Acceptor>(io_);
    acceptor->assign(endpoint.protocol(), fd.release());
    doors_.push_back([acceptor] {
      error_code ignored;
      acceptor->close(ignored);
    });
    asio::co_spawn(io_, accept<Protocol>(acceptor), asio::detached);
  }

  template <typename Protocol, typename Acceptor>
  asio::awaitable<void> accept(std::shared_ptr<Acceptor> acceptor) {
    asio::steady_timer pause(io_);
    while (!stopping_) {
      error_code problem;
      if (entries_.size() < limits_.connections) {
        asio::basic_stream_socket<Protocol, asio::any_io_executor> socket(io_);
        co_await acceptor->async_accept(socket, asio::redirect_error(asio::use_awaitable, problem));
        if (!problem) {
          asio::co_spawn(io_, serve<Protocol>(Stream<Protocol>(std::move(socket))), asio::detached);
          continue;
        }
        if (problem == asio::error::operation_aborted) break;
      }
      // All places are taken, or there are no more descriptors: what waits at the door is let in as soon as one goes.
      pause.expires_after(std::chrono::milliseconds(50));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, problem));
    }
  }

  template <typename Protocol>
  asio::awaitable<void> serve(Stream<Protocol> stream) {
    // Not cancel(), of which a read that begins a moment later knows nothing.
    const auto entry = entries_.insert(entries_.end(), {false, [&stream] { stream.close(); }});
    try {
      beast::flat_buffer buffer;
      std::chrono::milliseconds patience = limits_.first_byte;
      // Not in one condition: GCC 12 computes the right side of && before it looks at the left one where that waits.
      while (!stopping_) {
        const bool another = co_await exchange<Protocol>(stream, buffer, *entry, patience);
        if (!another) break;
        patience = limits_.idle;
      }
    } catch (const std::exception&) {
      // The connection has gone: there is nobody to tell.
    }
    entry->answering = false;
    co_await part<Protocol>(stream);
    entries_.erase(entry);
    if (stopping_ && entries_.empty()) gone_();
  }

  // What was not read when a socket is closed resets the connection, and may take the answer along before it is read.
  template <typename Protocol>
  asio::awaitable<void> part(Stream<Protocol>& stream) {
    error_code problem;
    stream.socket().shutdown(asio::socket_base::shutdown_send, problem);
    stream.expires_after(stopping_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(1000));
    std::array<char, 4096> unread{};
    for (std::size_t left = kUnread; !problem && left >= unread.size(); left -= unread.size())
      co_await stream.async_read_some(asio::buffer(unread), asio::redirect_error(asio::use_awaitable, problem));
  }

  // One request and its answer. False: no other follows.
  template <typename Protocol>
  asio::awaitable<bool> exchange(Stream<Protocol>& stream, beast::flat_buffer& buffer, Entry& entry,
                                 std::chrono::milliseconds patience) {
    wire::request_parser<wire::empty_body> head;
    head.header_limit(limits_.head);
    // Who may not come in learns nothing of limits.
    head.body_limit(boost::none);
    stream.expires_after(patience);
    error_code problem;
    co_await wire::async_read_header(stream, buffer, head, asio::redirect_error(asio::use_awaitable, problem));
    if (problem) {
      if (auto told = told_of(problem, buffer.size() > 0)) co_await send(stream, std::move(*told), false, false);
      co_return false;
    }
    entry.answering = true;
    Request request;
    split_target({head.get().target().data(), head.get().target().size()}, request);
    request.method = std::string(head.get().method_string());
    constexpr bool kUnix = std::is_same_v<Protocol, asio::local::stream_protocol>;
    // Its body stays unread, so no other request can follow it.
    if (auto refused = refusal(access_, head_of(head.get(), request.path), kUnix)) {
      co_await send(stream, std::move(*refused), false, request.method == "HEAD");
      co_return false;
    }
    if (head.content_length().value_or(0) > limits_.body) {
      co_await send(stream, *told_of(wire::error::body_limit, true), false, request.method == "HEAD");
      co_return false;
    }
    wire::request_parser<wire::string_body> whole(std::move(head));
    whole.body_limit(limits_.body);
    stream.expires_after(limits_.idle);
    if (!whole.is_done() && beast::iequals(whole.get()[wire::field::expect], "100-continue")) {
      const wire::response<wire::empty_body> go_on(wire::status::continue_, 11);
      wire::response_serializer<wire::empty_body, wire::fields> serializer(go_on);
      co_await wire::async_write(stream, serializer, asio::use_awaitable);
    }
    co_await wire::async_read(stream, buffer, whole, asio::redirect_error(asio::use_awaitable, problem));
    if (problem) {
      if (auto told = told_of(problem, true)) co_await send(stream, std::move(*told), false, false);
      co_return false;
    }
    request.body = std::move(whole.get().body());
    const bool without_body = request.method == "HEAD";
    if (without_body) request.method = "GET";
    stream.expires_never();
    Response response = co_await answer(std::move(request));
    const bool keep_alive = whole.get().keep_alive() && !stopping_;
    co_await send(stream, std::move(response), keep_alive, without_body);
    entry.answering = false;
    co_return keep_alive;
  }

  asio::awaitable<Response> answer(Request request) {
    try {
      co_return co_await handler_(std::move(request));
    } catch (const Error& problem) {
      co_return error_response(problem);
    } catch (const std::exception& problem) {
      co_return error_response(500, "failure", problem.what());
    }
  }

  template <typename S>
  asio::awaitable<void> send(S& stream, Response response, bool keep_alive, bool without_body) {
    stream.expires_after(limits_.idle);
    wire::response<wire::string_body> out = on_the_wire(std::move(response), keep_alive);
    wire::response_serializer<wire::string_body> serializer(out);
    if (without_body) {
      co_await wire::async_write_header(stream, serializer, asio::use_awaitable);
    } else {
      co_await wire::async_write(stream, serializer, asio::use_awaitable);
    }
  }

  asio::io_context& io_;
  Access access_;
  Handler handler_;
  Limits limits_;
  std::list<std::function<void()>> doors_;
  std::list<Entry> entries_;
  std::filesystem::path socket_;
  bool stopping_ = false;
  std::function<void()> gone_;
};

Server::Server(asio::io_context& io, Access access, Handler handler, Limits limits)
    : impl_(std::make_unique<Impl>(io, std::move(access), std::move(handler), limits)) {}

Server::~Server() = default;

std::string Server::listen(const Address& address) {
  return impl_->listen(address);
}

void Server::stop(std::function<void()> gone) {
  impl_->stop(std::move(gone));
}

}  // namespace step1x::http
