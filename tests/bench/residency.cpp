// What residency.py compares a load and a reload with: the same bytes moved in the plainest way, by as many threads, to
// memory prepared in the same way. Prints seconds and bytes.
// Usage: bench_residency read huge|plain FILE...   (files into a fresh arena, in huge pages or not)
//        bench_residency copy BYTES                (an arena into fresh memory)
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "memory/arena.hpp"

namespace {

using namespace step1x;

// As Placement::fill() has it.
constexpr std::size_t kChunk = std::size_t{8} << 20;

struct Chunk {
  int fd = -1;
  std::size_t from = 0;
  std::size_t to = 0;
  std::size_t bytes = 0;
};

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void in_threads(unsigned count, const std::vector<Chunk>& chunks, const std::function<void(const Chunk&)>& each) {
  std::atomic<std::size_t> next{0};
  std::vector<std::jthread> threads;
  threads.reserve(count);
  for (unsigned i = 0; i < count; ++i) {
    threads.emplace_back([&] {
      for (std::size_t at = next++; at < chunks.size(); at = next++) each(chunks[at]);
    });
  }
}

int read_files(bool huge, const std::vector<std::string>& paths) {
  std::vector<UniqueFd> files;
  std::vector<Chunk> chunks;
  std::size_t total = 0;
  for (const std::string& path : paths) {
    files.emplace_back(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info{};
    if (!files.back() || ::fstat(files.back().get(), &info) != 0)
      throw Error::format(ErrorCode::failure, "{}: {}", path, errno_text());
    const auto size = static_cast<std::size_t>(info.st_size);
    for (std::size_t at = 0; at < size; at += kChunk) {
      chunks.push_back({files.back().get(), at, total + at, std::min(kChunk, size - at)});
    }
    total += size;
  }
  const std::size_t bytes = (total + kHugePage - 1) / kHugePage * kHugePage;
  const double took = seconds([&] {
    const UniqueFd fd = create_arena(bytes);
    ArenaMapping mapping(fd.get(), bytes, ArenaMapping::Access::fill);
    if (huge) mapping.prepare(0, bytes);
    in_threads(std::clamp(std::thread::hardware_concurrency(), 4U, 32U), chunks, [&](const Chunk& chunk) {
      for (std::size_t done = 0; done < chunk.bytes;) {
        const ssize_t got = ::pread(chunk.fd, mapping.writable().data() + chunk.to + done, chunk.bytes - done,
                                    static_cast<off_t>(chunk.from + done));
        if (got <= 0) std::terminate();
        done += static_cast<std::size_t>(got);
      }
    });
  });
  fmt::print("{} {}\n", took, total);
  return 0;
}

int copy(std::size_t bytes) {
  bytes = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  const UniqueFd fd = create_arena(bytes);
  ArenaMapping arena(fd.get(), bytes, ArenaMapping::Access::fill);
  arena.prepare(0, bytes);
  std::memset(arena.writable().data(), 1, bytes);
  std::vector<Chunk> chunks;
  for (std::size_t at = 0; at < bytes; at += kChunk) chunks.push_back({-1, at, at, std::min(kChunk, bytes - at)});
  const double took = seconds([&] {
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw Error::format(ErrorCode::failure, "mmap: {}", errno_text());
    ::madvise(memory, bytes, MADV_HUGEPAGE);
    in_threads(std::max(1U, std::thread::hardware_concurrency()), chunks, [&](const Chunk& chunk) {
      std::memcpy(static_cast<std::byte*>(memory) + chunk.to, arena.bytes().data() + chunk.from, chunk.bytes);
    });
  });
  fmt::print("{} {}\n", took, bytes);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() >= 3 && arguments[0] == "read")
    return read_files(arguments[1] == "huge", {arguments.begin() + 2, arguments.end()});
  if (arguments.size() == 2 && arguments[0] == "copy") return copy(std::stoull(arguments[1]));
  fmt::print(stderr, "usage: bench_residency read huge|plain FILE... | copy BYTES\n");
  return 2;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
