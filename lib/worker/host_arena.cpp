#include "worker/host_arena.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/size.hpp"
#include "memory/arena.hpp"

namespace step1x::worker {
namespace {

// What stays for everybody else beside an arena: jobs need memory too, and so does the machine.
constexpr std::uint64_t kMargin = std::uint64_t{512} << 20;

std::uint64_t resident_bytes(int fd) {
  struct stat info{};
  ::fstat(fd, &info);
  constexpr std::uint64_t kStatBlock = 512;
  return static_cast<std::uint64_t>(info.st_blocks) * kStatBlock;
}

}  // namespace

std::string HostArena::too_large(std::uint64_t bytes, std::optional<std::int64_t> most) const {
  if (most && *most >= 0) {
    if (bytes <= static_cast<std::uint64_t>(*most)) return "";
    return fmt::format("the model takes {} of RAM and {} are allowed (--max-ram)", format_size(bytes),
                       format_size(static_cast<std::uint64_t>(*most)));
  }
  const std::uint64_t left = most ? static_cast<std::uint64_t>(-*most) : kMargin;
  const std::uint64_t available = options_.available() + *freeing_bytes_;
  if (bytes <= available - std::min(left, available)) return "";
  return fmt::format("the model takes {} of RAM and {} are free, of which {} are left to others (--max-ram)",
                     format_size(bytes), format_size(available), format_size(left));
}

std::optional<HostArena::Grant> HostArena::want(const void* who, const std::string& key, std::uint64_t bytes,
                                                std::optional<std::int64_t> most) {
  if (fd_ && key == key_ && (filled_ || filler_ != who)) {
    refusal_.clear();
    return filled_ ? std::optional(Grant{fd_.get(), true}) : std::nullopt;
  }
  drop();
  if (const std::string why = too_large(bytes, most); !why.empty()) {
    refuse(why);
    return Grant();
  }
  try {
    fd_ = create_arena(bytes);
  } catch (const Error& problem) {
    refuse(problem.what());
    return Grant();
  }
  key_ = key;
  filler_ = who;
  return Grant{fd_.get(), false};
}

void HostArena::refuse(const std::string& why) {
  refusal_ = why;
  log::warn("no host arena: {}", why);
}

void HostArena::filled(std::uint64_t huge_bytes) {
  if (!fd_ || filled_)
    throw Error(ErrorCode::protocol, "an engine says that it filled an arena, and there is none to fill");
  const int seals = ::fcntl(fd_.get(), F_GET_SEALS);
  if ((seals & F_SEAL_FUTURE_WRITE) == 0)
    throw Error(ErrorCode::protocol, "an engine did not seal the arena it filled");
  filled_ = true;
  huge_bytes_ = huge_bytes;
}

void HostArena::filler_ended(const void* who) {
  if (fd_ && !filled_ && filler_ == who) drop();
}

void HostArena::drop() {
  refusal_.clear();
  if (!fd_) return;
  const std::uint64_t bytes = resident_bytes(fd_.get());
  *freeing_bytes_ += bytes;
  freeing_ = std::jthread([fd = std::move(fd_), bytes, counter = freeing_bytes_, freed = options_.freed,
                           before = std::move(freeing_)]() mutable {
    fd.reset();
    *counter -= bytes;
    freed();
  });
  key_.clear();
  huge_bytes_ = 0;
  filled_ = false;
  filler_ = nullptr;
}

void HostArena::drop_and_wait() {
  drop();
  if (freeing_.joinable()) freeing_.join();
}

ipc::Json HostArena::status() const {
  if (!fd_) return nullptr;
  struct stat info{};
  ::fstat(fd_.get(), &info);
  return {{"key", key_},
          {"bytes", info.st_size},
          {"resident_bytes", resident_bytes(fd_.get())},
          {"huge_bytes", huge_bytes_},
          {"filled", filled_}};
}

}  // namespace step1x::worker
