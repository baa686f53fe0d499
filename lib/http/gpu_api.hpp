// The endpoints of the Python server, and what watches over services asks for:
//
//   GET  /api/gpu/status              what `step1x gpu status --json` prints
//   POST /api/gpu/offload[?mode=M]    as `step1x gpu offload`; M: refuse (409 while there is work), wait or force
//   POST /api/gpu/release[?mode=M]    as `step1x gpu release`
//   GET  /healthz                     whether this server lives; asks no worker
//   GET  /metrics                     for Prometheus
//
// A client of the worker like any other, on threads of its own, for a conversation with it blocks; called in the thread
// of the HTTP server.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>

#include <functional>
#include <string>

#include "client/move.hpp"
#include "http/message.hpp"
#include "ipc/client.hpp"

namespace step1x::http {

class GpuApi {
 public:
  // `ended` hears, in a line, of a worker that did not answer a `force`.
  GpuApi(ipc::ClientOptions options, std::function<void(const std::string&)> ended);
  // Waits for what is under way.
  ~GpuApi();
  GpuApi(const GpuApi&) = delete;
  GpuApi& operator=(const GpuApi&) = delete;

  boost::asio::awaitable<Response> answer(Request request);
  // Who waits for the end of other work is refused from here on.
  void stop() { stopping_ = true; }

 private:
  boost::asio::awaitable<Response> status(const Request& request);
  boost::asio::awaitable<Response> metrics(const Request& request);
  boost::asio::awaitable<Response> move(client::Move what, const Request& request);

  ipc::ClientOptions options_;
  std::function<void(const std::string&)> ended_;
  boost::asio::thread_pool pool_;
  bool stopping_ = false;
};

}  // namespace step1x::http
