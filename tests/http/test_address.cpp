#include <doctest/doctest.h>

#include "base/error.hpp"
#include "http/address.hpp"

using namespace step1x;
using boost::asio::ip::tcp;

TEST_CASE("where to listen") {
  const auto tcp_of = [](const char* text) { return http::url_of(std::get<tcp::endpoint>(http::parse_address(text))); };
  CHECK(tcp_of("127.0.0.1:8642") == "http://127.0.0.1:8642");
  CHECK(tcp_of("localhost:0") == "http://127.0.0.1:0");
  CHECK(tcp_of("[::1]:65535") == "http://[::1]:65535");
  CHECK(tcp_of("0.0.0.0:80") == "http://0.0.0.0:80");
  CHECK(std::get<std::filesystem::path>(http::parse_address("unix:/run/a:1")) == "/run/a:1");
  CHECK(std::holds_alternative<http::FromSystemd>(http::parse_address("systemd")));
}

TEST_CASE("what is no address is refused") {
  for (const char* text : {"", "8642", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:80x",
                           "example.org:80", "::1:80x", "unix:", "http://127.0.0.1:80"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(http::parse_address(text), Error);
  }
}

TEST_CASE("only loopback and a Unix socket keep other machines out") {
  for (const char* text : {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "unix:a"})
    CHECK(http::is_local(http::parse_address(text)));
  for (const char* text : {"0.0.0.0:1", "[::]:1", "192.0.2.7:1"})
    CHECK_FALSE(http::is_local(http::parse_address(text)));
}

TEST_CASE("localhost is among the own origins where it is sure to mean this door") {
  const auto origins = [](const char* text) {
    return http::own_origins(std::get<tcp::endpoint>(http::parse_address(text)));
  };
  CHECK(origins("127.0.0.1:8642") == std::vector<std::string>{"http://127.0.0.1:8642", "http://localhost:8642"});
  CHECK(origins("192.0.2.7:80") == std::vector<std::string>{"http://192.0.2.7:80"});
}
