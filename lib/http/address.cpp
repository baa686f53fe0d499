#include "http/address.hpp"

#include <boost/asio/ip/address.hpp>

#include <charconv>

#include "base/error.hpp"
#include "base/utf8.hpp"

namespace step1x::http {
namespace {

using boost::asio::ip::tcp;

[[noreturn]] void fail(std::string_view text, std::string_view why) {
  throw Error::format(ErrorCode::usage,
                      "--listen {}: {}; an address is 127.0.0.1:8642, [::1]:8642, unix:PATH or systemd",
                      printable(text), why);
}

}  // namespace

Address parse_address(std::string_view text) {
  if (text == "systemd") return FromSystemd{};
  if (text.starts_with("unix:")) {
    if (text.size() == 5) fail(text, "the path is empty");
    return std::filesystem::path(text.substr(5));
  }
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) fail(text, "it has no port");
  std::string host(text.substr(0, colon));
  const std::string_view digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (problem != std::errc{} || end != digits.data() + digits.size()) fail(text, "the port is no number up to 65535");
  if (host == "localhost") host = "127.0.0.1";
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  boost::system::error_code wrong;
  const auto address = boost::asio::ip::make_address(host, wrong);
  if (wrong) fail(text, "names are not looked up");
  return tcp::endpoint(address, port);
}

bool is_local(const Address& address) {
  const auto* endpoint = std::get_if<tcp::endpoint>(&address);
  return endpoint == nullptr || endpoint->address().is_loopback();
}

std::string url_of(const tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  const bool brackets = endpoint.address().is_v6();
  return fmt::format("http://{}{}{}:{}", brackets ? "[" : "", host, brackets ? "]" : "", endpoint.port());
}

std::vector<std::string> own_origins(const tcp::endpoint& endpoint) {
  std::vector<std::string> origins{url_of(endpoint)};
  // Only there is the name sure to mean this door.
  if (endpoint.address().is_loopback()) origins.push_back(fmt::format("http://localhost:{}", endpoint.port()));
  return origins;
}

}  // namespace step1x::http
