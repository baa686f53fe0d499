// Any bytes, in pieces of any size, with or without descriptors: a FrameReader gives messages or throws
// Error(protocol), and a message's fields can be asked for. The first byte of the input chooses how large the pieces
// are.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "base/error.hpp"
#include "ipc/fields.hpp"
#include "ipc/frame.hpp"
#include "ipc/hello.hpp"
#include "worker/job.hpp"

using namespace step1x;

namespace {

void use(ipc::Message message) {
  try {
    ipc::read_hello(message.body, "op");
  } catch (const Error&) {
  }
  try {
    worker::make_job(std::move(message), 1);
  } catch (const Error&) {
  }
}

std::vector<UniqueFd> descriptors(std::uint8_t byte) {
  std::vector<UniqueFd> fds;
  if (byte % 16 == 0) fds.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (byte % 64 == 0) fds.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  return fds;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = 1 + data[0] % 64;
  const bool with_fds = data[0] >= 128;
  std::span<const std::byte> rest = std::as_bytes(std::span(data + 1, size - 1));
  ipc::FrameReader reader;
  try {
    while (!rest.empty()) {
      const std::size_t count = std::min({piece, reader.want(), rest.size()});
      auto message = reader.feed(
          rest.first(count), with_fds ? descriptors(std::to_integer<std::uint8_t>(rest[0])) : std::vector<UniqueFd>());
      if (message) use(std::move(*message));
      rest = rest.subspan(count);
    }
  } catch (const Error& problem) {
    if (problem.code() != ErrorCode::protocol) __builtin_trap();
  }
  return 0;
}
