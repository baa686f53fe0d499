#include "http/access.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>

#include "base/utf8.hpp"

namespace step1x::http {
namespace {

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Without its port; nullopt: it is no name of a host.
std::optional<std::string> host_of(std::string_view value) {
  const auto bracket = value.starts_with('[') ? value.find(']') : std::string_view::npos;
  const auto end = bracket == std::string_view::npos ? std::min(value.find(':'), value.size()) : bracket + 1;
  const std::string_view rest = value.substr(end);
  if (!rest.empty() && (rest[0] != ':' || !is_port(rest.substr(1)))) return std::nullopt;
  std::string host = lower_ascii(std::string(value.substr(0, end)));
  if (host.ends_with('.')) host.pop_back();
  if (host.empty()) return std::nullopt;
  return host;
}

bool is_address(const std::string& host) {
  boost::system::error_code problem;
  if (host.starts_with('[') && host.ends_with(']')) {
    boost::asio::ip::make_address_v6(host.substr(1, host.size() - 2), problem);
  } else {
    boost::asio::ip::make_address_v4(host, problem);
  }
  return !problem;
}

std::optional<Response> wrong_host(const Access& access, const std::optional<std::string>& value) {
  if (!value) return error_response(400, "no_host", "the request has no Host");
  const std::optional<std::string> host = host_of(*value);
  if (!host) return error_response(400, "bad_host", fmt::format("Host: '{}' is no host", printable(*value)));
  if (is_address(*host) || *host == "localhost" || host->ends_with(".localhost")) return std::nullopt;
  if (std::ranges::find(access.hosts, *host) != access.hosts.end()) return std::nullopt;
  return error_response(
      421, "wrong_host",
      fmt::format("Host: {} is not a name of this server; if it is one, start it with --allowed-host {}",
                  printable(*host), printable(*host)));
}

std::optional<Response> wrong_origin(const Access& access, const Head& head) {
  if (head.origin) {
    if (std::ranges::find(access.origins, lower_ascii(*head.origin)) != access.origins.end()) return std::nullopt;
    return error_response(
        403, "wrong_origin",
        fmt::format("Origin: pages of {} may not use this server; if they shall, start it with --allowed-origin {}",
                    printable(*head.origin), printable(*head.origin)));
  }
  if (!head.fetch_site || *head.fetch_site == "same-origin" || *head.fetch_site == "none") return std::nullopt;
  return error_response(403, "cross_site", "another site's page sent this request, and may not use this server");
}

std::optional<Response> wrong_token(const Access& access, const Head& head) {
  // Who watches whether it lives needs no secret for that.
  if (access.token.empty() || head.path == "/healthz") return std::nullopt;
  constexpr std::string_view kScheme = "bearer ";
  const std::string_view given = head.authorization ? std::string_view(*head.authorization) : std::string_view();
  if (lower_ascii(std::string(given.substr(0, kScheme.size()))) == kScheme &&
      same_token(given.substr(kScheme.size()), access.token))
    return std::nullopt;
  Response response = error_response(401, "wrong_token",
                                     given.empty() ? "a token is needed: Authorization: Bearer TOKEN"
                                                   : "the token is not the one that this server was started with");
  response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace

std::optional<Response> refusal(const Access& access, const Head& head, bool unix_socket) {
  if (head.twice) return error_response(400, "header_twice", "a header that may stand once stands twice");
  if (!unix_socket) {
    if (auto refused = wrong_host(access, head.host)) return refused;
  }
  if (auto refused = wrong_origin(access, head)) return refused;
  return wrong_token(access, head);
}

bool same_token(std::string_view given, std::string_view wanted) {
  unsigned different = given.size() == wanted.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i)
    different |= static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(wanted[i % wanted.size()]);
  return different == 0;
}

}  // namespace step1x::http
