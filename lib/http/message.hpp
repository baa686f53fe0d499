// A request as its handler sees it, and what it answers. Plain data; any thread.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace step1x::http {

struct Request {
  std::string method;                        // "GET"
  std::string path;                          // "/api/gpu/status", as it was sent
  std::map<std::string, std::string> query;  // names and values as they were sent, the first of each name
  std::string body;
};

struct Response {
  int status = 200;
  std::string type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

// The two parts of a request's target. Nothing is decoded: no name here has a character that would have to be written
// otherwise.
void split_target(std::string_view target, Request& request);

// {"error": {message, type, param, code}}: what clients of OpenAI's API read, with null for what is not known. `more`:
// an object of other members.
Response error_response(int status, std::string_view code, const std::string& message,
                        const std::optional<std::string>& param = std::nullopt,
                        const nlohmann::ordered_json& more = nlohmann::ordered_json::object());
// How a problem of ours is told by HTTP: 409 for busy, 504 for timeout, 503 where the worker cannot be had, ...
Response error_response(const Error& problem, const nlohmann::ordered_json& more = nlohmann::ordered_json::object());

}  // namespace step1x::http
