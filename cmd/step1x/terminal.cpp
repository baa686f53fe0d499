#include "terminal.hpp"

#include <openssl/evp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "base/process.hpp"
#include "base/utf8.hpp"

namespace step1x::cli {
namespace {

using Clock = std::chrono::steady_clock;

// In a hurry nobody is waited for; otherwise a wait has the ends that an Impatience gave it.
struct Patience {
  bool hurry = false;
  int signals = -1;
  std::optional<Clock::time_point> end;
};
Patience g_patience;

int milliseconds_left() {
  if (g_patience.hurry) return 0;
  if (!g_patience.end) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*g_patience.end - Clock::now()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, INT_MAX));
}

// Whether a write of a few bytes returns at once.
bool wait_until_it_takes(int fd) {
  for (;;) {
    std::array<pollfd, 2> entries{pollfd{fd, POLLOUT, 0}, pollfd{g_patience.signals, POLLIN, 0}};
    const int ready = ::poll(entries.data(), entries.size(), milliseconds_left());
    if (ready < 0 && errno == EINTR) continue;
    // An error of the descriptor is told by the write.
    if (ready < 0 || entries[0].revents != 0) return true;
    g_patience.hurry = true;
    return false;
  }
}

// False with errno set.
bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (!wait_until_it_takes(fd)) {
      errno = EINTR;
      return false;
    }
    // A pipe that takes anything takes so much.
    const ssize_t count = ::write(fd, bytes.data(), std::min<std::size_t>(bytes.size(), PIPE_BUF));
    if (count < 0 && errno != EINTR) return false;
    if (count > 0) bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return true;
}

std::string line_of(const nlohmann::ordered_json& record, int indent = -1) {
  return printable_json(record.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace)) + "\n";
}

}  // namespace

void say_error(const std::string& message) {
  say("step1x: " + one_line(message));
}

void draw(std::string_view text) {
  // A terminal that went away is no reason to lose a picture.
  write_all(STDERR_FILENO, std::as_bytes(std::span(text)));
}

void say(const std::string& message) {
  const std::string line = printable(message) + "\n";
  write_all(STDERR_FILENO, std::as_bytes(std::span(line)));
}

void say_json(const nlohmann::ordered_json& record) {
  const std::string line = line_of(record);
  write_all(STDERR_FILENO, std::as_bytes(std::span(line)));
}

void print(std::string_view text) {
  print(std::as_bytes(std::span(text)));
}

void print(std::span<const std::byte> bytes) {
  if (write_all(STDOUT_FILENO, bytes)) return;
  if (errno == EINTR) throw Error(ErrorCode::cancelled, "interrupted while nobody read standard output");
  throw Error::format(ErrorCode::failure, "cannot write to standard output: {}", errno_text());
}

void print_json(const nlohmann::ordered_json& record, int indent) {
  print(line_of(record, indent));
}

void add_path(nlohmann::ordered_json& record, const char* name, const std::string& path) {
  record[name] = path;
  if (!find_invalid_utf8(path)) return;
  // Three bytes are four characters, and there is a zero byte behind them.
  std::string text(4 * (path.size() + 2) / 3 + 4, '\0');
  const int length =
      ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                        reinterpret_cast<const unsigned char*>(path.data()), static_cast<int>(path.size()));
  text.resize(static_cast<std::size_t>(length));
  record[std::string(name) + "_base64"] = text;
}

void print_path(const std::string& path) {
  print((::isatty(STDOUT_FILENO) == 1 ? printable(path) : path) + "\n");
}

nlohmann::ordered_json error_record(ErrorCode code, const std::string& message) {
  return {{"error", {{"code", name(code)}, {"message", one_line(message)}, {"retryable", retryable(code)}}}};
}

void print_error_record(ErrorCode code, const std::string& message) {
  const std::string line = line_of(error_record(code, message));
  write_all(STDOUT_FILENO, std::as_bytes(std::span(line)));
}

Impatience::Impatience(int signals, std::optional<Clock::time_point> end) {
  g_patience.signals = signals;
  g_patience.end = end;
}

Impatience::~Impatience() {
  g_patience.signals = -1;
  g_patience.end.reset();
}

void hurry() {
  g_patience.hurry = true;
}

bool stderr_is_terminal() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

int terminal_width() {
  winsize size{};
  constexpr int kUsual = 80;
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kUsual;
}

}  // namespace step1x::cli
