#include "http/message.hpp"

#include <algorithm>

namespace step1x::http {
namespace {

std::string_view type_of(int status) {
  if (status == 401) return "authentication_error";
  if (status == 403 || status == 421) return "permission_error";
  if (status == 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

int status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::usage:
    case ErrorCode::bad_image:
    case ErrorCode::bad_prompt:
      return 400;
    case ErrorCode::busy:
      return 409;
    case ErrorCode::timeout:
      return 504;
    case ErrorCode::model_missing:
    case ErrorCode::out_of_memory:
    case ErrorCode::engine_died:
    case ErrorCode::worker_failed:
    case ErrorCode::version_mismatch:
    case ErrorCode::cancelled:
      return 503;
    case ErrorCode::failure:
    case ErrorCode::protocol:
      return 500;
  }
  return 500;
}

}  // namespace

void split_target(std::string_view target, Request& request) {
  const auto mark = target.find('?');
  request.path = target.substr(0, mark);
  if (mark == std::string_view::npos) return;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const auto equals = pair.find('=');
    const std::string_view value = equals == std::string_view::npos ? "" : pair.substr(equals + 1);
    if (!pair.empty()) request.query.emplace(pair.substr(0, equals), value);
  }
}

Response error_response(int status, std::string_view code, const std::string& message,
                        const std::optional<std::string>& param, const nlohmann::ordered_json& more) {
  nlohmann::ordered_json error{{"message", message}, {"type", type_of(status)}, {"param", nullptr}, {"code", code}};
  if (param) error["param"] = *param;
  error.update(more);
  Response response;
  response.status = status;
  // A message may have a file's name in it.
  response.body =
      nlohmann::ordered_json{{"error", error}}.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return response;
}

Response error_response(const Error& problem, const nlohmann::ordered_json& more) {
  return error_response(status_of(problem.code()), name(problem.code()), problem.what(), std::nullopt, more);
}

}  // namespace step1x::http
