// Sockets to take connections from. Errors: Error(usage), with the address and the reason.
#pragma once

#include <filesystem>

#include "base/fd.hpp"
#include "http/address.hpp"

namespace step1x::http {

// With mode 0600, whatever the process's own is. What is left of a server that has gone is replaced; a socket that
// somebody listens at, and any other file, is not.
UniqueFd listen_at(const std::filesystem::path& path);
UniqueFd listen_at(const boost::asio::ip::tcp::endpoint& endpoint);
// The one socket that systemd hands over, to this process and none that it starts.
UniqueFd listener_of_systemd();

}  // namespace step1x::http
