// Where the HTTP door listens. Plain data; any thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace step1x::http {

// A socket that systemd has opened, and hands over with the process: sd_listen_fds(3).
struct FromSystemd {};

using Address = std::variant<boost::asio::ip::tcp::endpoint, std::filesystem::path, FromSystemd>;

// "127.0.0.1:8642", "[::1]:8642", "localhost:8642", "unix:PATH" or "systemd". Port 0: one that is free. Throws
// Error(usage) for anything else; names are not looked up.
Address parse_address(std::string_view text);

// Nobody comes in from another machine. A socket of systemd's may be anything.
bool is_local(const Address& address);

// Under which a browser on this machine knows the door's own page.
std::vector<std::string> own_origins(const boost::asio::ip::tcp::endpoint& endpoint);
// "http://127.0.0.1:8642"
std::string url_of(const boost::asio::ip::tcp::endpoint& endpoint);

}  // namespace step1x::http
