#include "http/token.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/read_file.hpp"
#include "base/utf8.hpp"

namespace step1x::http {
namespace {

constexpr std::size_t kFewest = 16;
constexpr std::size_t kMost = 4096;

std::string checked(std::string token, const std::string& from) {
  while (token.ends_with('\n') || token.ends_with('\r')) token.pop_back();
  const bool visible = std::ranges::all_of(token, [](char c) { return c > ' ' && c < '\x7f'; });
  if (visible && token.size() >= kFewest && token.size() <= kMost) return token;
  throw Error::format(
      ErrorCode::usage,
      "{}: a token is {} to {} visible ASCII characters, and this one {}; openssl rand -hex 32 makes one", from,
      kFewest, kMost, visible ? fmt::format("has {}", token.size()) : "has others");
}

}  // namespace

std::string read_token(const std::optional<std::filesystem::path>& file) {
  if (!file) {
    const char* token = std::getenv("STEP1X_TOKEN");
    return token == nullptr || *token == '\0' ? "" : checked(token, "STEP1X_TOKEN");
  }
  const std::string from = fmt::format("--token-file {}", printable(file->string()));
  struct stat about{};
  if (::stat(file->c_str(), &about) != 0) throw Error::format(ErrorCode::usage, "{}: {}", from, errno_text());
  if ((about.st_mode & 077) != 0) {
    throw Error::format(ErrorCode::usage, "{}: others than its owner may read it (mode {:04o}); chmod 600 it", from,
                        about.st_mode & 07777U);
  }
  return checked(read_regular_file(*file, kMost + 2, ErrorCode::usage), from);
}

}  // namespace step1x::http
