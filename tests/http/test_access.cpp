#include <doctest/doctest.h>

#include "http/access.hpp"

using namespace step1x::http;

namespace {

Access door() {
  Access access;
  access.hosts = {"images.example.org"};
  access.origins = {"http://127.0.0.1:8642", "http://localhost:8642", "https://app.example.org"};
  return access;
}

// 0: it may come in.
int status(const Access& access, Head head, bool unix_socket = false) {
  const auto refused = refusal(access, head, unix_socket);
  return refused ? refused->status : 0;
}

int status_of_host(const std::string& host) {
  Head head;
  head.host = host;
  return status(door(), head);
}

Head from(std::optional<std::string> origin, std::optional<std::string> site = {}) {
  Head head;
  head.host = "127.0.0.1:8642";
  head.origin = std::move(origin);
  head.fetch_site = std::move(site);
  return head;
}

}  // namespace

TEST_CASE("addresses and names that mean this machine alone may be asked for") {
  for (const char* host :
       {"127.0.0.1", "127.0.0.1:8642", "192.0.2.7:80", "[::1]", "[::1]:8642", "localhost", "LOCALHOST:1",
        "step1x.localhost", "localhost.", "images.example.org", "Images.Example.Org:443"}) {
    CAPTURE(host);
    CHECK(status_of_host(host) == 0);
  }
}

TEST_CASE("a name that somebody else can point here is misdirected") {
  for (const char* host : {"evil.example", "evil.example:8642", "localhost.evil.example", "notlocalhost",
                           "127.0.0.1.evil.example", "images.example.org.evil.example", "0x7f.1", "127.1"}) {
    CAPTURE(host);
    CHECK(status_of_host(host) == 421);
  }
}

TEST_CASE("what is no host is a bad request, and so is none, or two") {
  for (const char* host : {"", ":80", "localhost:", "localhost:port", "localhost:123456", "[::1]x", "a:b:c"}) {
    CAPTURE(host);
    CHECK(status_of_host(host) == 400);
  }
  CHECK(status(door(), Head()) == 400);
  Head twice;
  twice.host = "localhost";
  twice.twice = true;
  CHECK(status(door(), twice) == 400);
}

TEST_CASE("over a Unix socket any name will do") {
  Head head;
  CHECK(status(door(), head, true) == 0);
  head.host = "whatever";
  CHECK(status(door(), head, true) == 0);
  head.origin = "http://evil.example";
  CHECK(status(door(), head, true) == 403);
}

TEST_CASE("pages of listed sites may come in, others not, whatever their Host says") {
  CHECK(status(door(), from("http://127.0.0.1:8642")) == 0);
  CHECK(status(door(), from("http://localhost:8642", "same-origin")) == 0);
  CHECK(status(door(), from("https://APP.example.org", "cross-site")) == 0);
  for (const char* origin :
       {"http://evil.example", "null", "", "http://127.0.0.1", "http://127.0.0.1:3000", "https://127.0.0.1:8642"}) {
    CAPTURE(origin);
    CHECK(status(door(), from(origin)) == 403);
  }
  // A page that has had its own name pointed here: Origin and Host are the same.
  Head rebound = from("http://192.0.2.7:8642");
  rebound.host = "192.0.2.7:8642";
  CHECK(status(door(), rebound) == 403);
}

TEST_CASE("without an Origin the browser says who asks") {
  CHECK(status(door(), from({}, "same-origin")) == 0);
  CHECK(status(door(), from({}, "none")) == 0);
  CHECK(status(door(), from({}, "cross-site")) == 403);
  CHECK(status(door(), from({}, "same-site")) == 403);
}

TEST_CASE("where there is a token nobody comes in without it, but who asks whether it lives") {
  Access access = door();
  access.token = "0123456789abcdef";
  Head head = from({});
  const auto with = [&](std::optional<std::string> authorization) {
    head.authorization = std::move(authorization);
    return status(access, head);
  };
  CHECK(with("Bearer 0123456789abcdef") == 0);
  CHECK(with("bearer 0123456789abcdef") == 0);
  for (const char* given : {"Bearer 0123456789abcdeF", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Bearer ",
                            "Bearer", "Basic 0123456789abcdef", "0123456789abcdef", "", "Bearer  0123456789abcdef"}) {
    CAPTURE(given);
    CHECK(with(given) == 401);
  }
  CHECK(with({}) == 401);
  const auto refused = refusal(access, head, false);
  REQUIRE(refused);
  CHECK(refused->headers.front() == std::pair<std::string, std::string>("WWW-Authenticate", "Bearer"));
  CHECK(refused->body.find("0123456789abcdef") == std::string::npos);
  head.path = "/healthz";
  CHECK(with({}) == 0);
  // Who watches comes under a name of this machine, too.
  head.host = "evil.example";
  CHECK(with({}) == 421);
}
