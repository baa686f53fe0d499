#include "batch/digest.hpp"

#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <vector>

#include "base/error.hpp"
#include "base/read_file.hpp"

namespace step1x::batch {
namespace {

class Sha256 {
 public:
  Sha256() {
    if (::EVP_DigestInit_ex(context_.get(), ::EVP_sha256(), nullptr) != 1) fail();
  }
  void add(std::span<const std::byte> bytes) {
    if (::EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) != 1) fail();
  }
  std::string end() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    if (::EVP_DigestFinal_ex(context_.get(), digest.data(), &length) != 1) fail();
    std::string text;
    for (unsigned int i = 0; i < length; ++i) text += fmt::format("{:02x}", digest.at(i));
    return text;
  }

 private:
  [[noreturn]] static void fail() { throw Error(ErrorCode::failure, "OpenSSL does not compute SHA-256"); }
  struct Free {
    void operator()(EVP_MD_CTX* context) const { ::EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_{::EVP_MD_CTX_new()};
};

}  // namespace

std::string sha256(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.end();
}

std::string sha256_file(const std::filesystem::path& path, const std::stop_token& stop) {
  const UniqueFd fd = open_regular_file(path, ErrorCode::failure);
  Sha256 hash;
  std::vector<std::byte> buffer(std::size_t{1} << 20);
  for (;;) {
    if (stop.stop_requested()) throw Error(ErrorCode::cancelled, "interrupted");
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error::format(ErrorCode::failure, "cannot read {}: {}", path.string(), errno_text());
    if (count == 0) return hash.end();
    hash.add(std::span(buffer).first(static_cast<std::size_t>(count)));
  }
}

}  // namespace step1x::batch
