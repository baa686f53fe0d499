// Who may come in through the HTTP door. Decided from the head of a request alone, before anything is routed and before
// a byte of its body is read. Pure; any thread.
//
// A page of any site can have its visitor's browser send requests to this machine. What keeps it out:
//   - Host: a name that is under somebody else's control (DNS rebinding) is answered with 421. An IP address is
//   nobody's
//     to point elsewhere, and "localhost" and what ends in ".localhost" never leave this machine (RFC 6761,
//     section 6.3).
//   - Origin, which a browser sends with all that can change something: it must be listed. It is never compared with
//     Host, which a rebinding page has the same.
//   - Sec-Fetch-Site, which browsers send with every request: only what this door's own page, or the user by hand, asks
//     for.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.hpp"

namespace step1x::http {

struct Access {
  // Names by which this door is known too, in lower case, without a port.
  std::vector<std::string> hosts;
  // As browsers send them: "https://example.org:8443". Those of the door's own page are among them.
  std::vector<std::string> origins;
  // Empty: none is asked for.
  std::string token;
};

// Of each header the only one; more than one of a kind is `twice`.
struct Head {
  std::string path;
  std::optional<std::string> host;
  std::optional<std::string> origin;
  std::optional<std::string> fetch_site;
  std::optional<std::string> authorization;
  bool twice = false;
};

// nullopt: it may come in. A Unix socket has no name to be wrong; the mode of its file says who may.
std::optional<Response> refusal(const Access& access, const Head& head, bool unix_socket);

// Without looking at how many of the bytes are the same first.
bool same_token(std::string_view given, std::string_view wanted);

}  // namespace step1x::http
