#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "http/message.hpp"
#include "http/metrics.hpp"

using namespace step1x;

TEST_CASE("a target is a path and its parameters") {
  http::Request request;
  http::split_target("/api?mode=wait&empty=&word&mode=force&&=x", request);
  CHECK(request.path == "/api");
  CHECK(request.query == std::map<std::string, std::string>{{"", "x"}, {"empty", ""}, {"mode", "wait"}, {"word", ""}});
}

TEST_CASE("an error is an object, whatever stands in it") {
  const http::Response response = http::error_response(404, "gone", "a \xff \"name\"", "field");
  const auto body = nlohmann::json::parse(response.body);
  CHECK(response.status == 404);
  CHECK(body["error"]["code"] == "gone");
  CHECK(body["error"]["param"] == "field");
  CHECK(body["error"]["type"] == "invalid_request_error");
  CHECK(http::error_response(Error(ErrorCode::busy, "x")).status == 409);
  CHECK(http::error_response(Error(ErrorCode::timeout, "x")).status == 504);
}

TEST_CASE("metrics are lines that say what is") {
  const auto status = nlohmann::ordered_json::parse(R"({
    "model_location": "CPU", "idle_time": 1.5, "worker": {"pid": 1}, "arena": {"resident_bytes": 4096},
    "queue": {"running": 1, "waiting": 2, "leases": 0}, "statistics": {"total_loads": 3},
    "devices": [{"device": "cuda:\"0\n", "allocated_bytes": 7, "reserved_bytes": 8}]})");
  const std::string text = http::metrics_of(status);
  for (const char* line :
       {"step1x_worker_up 1\n", "step1x_model_location{location=\"CPU\"} 1\n",
        "step1x_model_location{location=\"GPU\"} 0\n", "step1x_idle_seconds 1.5\n", "step1x_host_memory_bytes 4096\n",
        "step1x_jobs{state=\"waiting\"} 2\n", "step1x_transitions_total{transition=\"total_loads\"} 3\n",
        "step1x_gpu_memory_reserved_bytes{device=\"cuda:\\\"0 \"} 8\n"}) {
    CAPTURE(line);
    CHECK(text.find(line) != std::string::npos);
  }
}
