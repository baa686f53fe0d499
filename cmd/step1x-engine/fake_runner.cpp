#include "fake_runner.hpp"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "base/hash.hpp"

namespace step1x::engine {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kParts = 10;  // of a load
constexpr std::byte kWeight{0x5a};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Look {
  std::array<unsigned, 3> tint;  // 0..255 per channel
  unsigned stripe;               // pixels
};

Look look_of(const Job& job) {
  const std::uint64_t h = fnv1a(fmt::format("{}\n{}\n{} {}", job.prompt, job.negative_prompt, job.seed, job.guidance));
  return {
      {static_cast<unsigned>(h >> 56), static_cast<unsigned>((h >> 48) & 255), static_cast<unsigned>((h >> 40) & 255)},
      16 + static_cast<unsigned>((h >> 32) & 31)};
}

// A duotone of the picture's brightness in the job's own tint, with diagonal stripes a little darker.
void paint(const Job& job, std::span<std::byte> out) {
  const Look look = look_of(job);
  // Eighths of the brightness, by x + y: a division for each pixel would be most of the work.
  std::vector<unsigned> shade(static_cast<std::size_t>(job.width) + static_cast<std::size_t>(job.height));
  for (std::size_t i = 0; i < shade.size(); ++i) shade[i] = (i / look.stripe) % 2 == 1 ? 7 : 8;
  const std::span<const std::byte> in = job.picture ? job.picture->pixels() : std::span<const std::byte>();
  std::size_t at = 0;
  for (int y = 0; y < job.height; ++y) {
    for (int x = 0; x < job.width; ++x, at += 3) {
      std::array<unsigned, 3> from{};
      for (std::size_t c = 0; c < 3; ++c)
        from[c] = in.empty() ? static_cast<unsigned>(x + y) & 255 : std::to_integer<unsigned>(in[at + c]);
      const unsigned brightness =
          (from[0] * 77 + from[1] * 150 + from[2] * 29) >> 8;  // Rec. 601 luma in 8-bit fixed point
      for (std::size_t c = 0; c < 3; ++c) {
        const unsigned toned = (from[c] + brightness * (64 + look.tint[c]) / 160) / 2;
        out[at + c] = static_cast<std::byte>(
            std::min(255U, toned * shade[static_cast<std::size_t>(x) + static_cast<std::size_t>(y)] / 8));
      }
    }
  }
}

[[noreturn]] void hog() {
  // Touches memory until the kernel's memory killer comes.
  for (std::vector<std::vector<char>> all;;) all.emplace_back(16 << 20, 'x');
}

// No seals, and half its bytes gone: what a reader that does not check would die of.
UniqueFd shrunk(std::size_t size) {
  UniqueFd fd(::memfd_create("step1x-shrunk", MFD_CLOEXEC));
  if (::ftruncate(fd.get(), static_cast<off_t>(size / 2)) != 0) throw Error(ErrorCode::failure, "ftruncate");
  return fd;
}

}  // namespace

bool FakeRunner::point(std::string_view name, int nth) {
  const auto fault = spec_.faults.find(name);
  if (fault == spec_.faults.end() || fault->second.at != nth) return false;
  const std::string& action = fault->second.action;
  if (action == "die") ::kill(::getpid(), SIGKILL);
  if (action == "exit") ::_exit(3);
  if (action == "hog") hog();
  if (action == "fail") throw Error::format(ErrorCode::failure, "the fake engine was told to fail at {} {}", name, nth);
  if (action == "oom")
    throw Error::format(ErrorCode::out_of_memory,
                        "out of memory on the fake device at {} {}: 42.0 GiB needed, 24.0 GiB there", name, nth);
  if (action == "garbage") {
    constexpr std::string_view kGarbage = "this is no frame";
    ::send(worker_fd_, kGarbage.data(), kGarbage.size(), MSG_NOSIGNAL);
  }
  while (action == "hang") ::pause();
  return action == "shrink";
}

void FakeRunner::sleep(Duration duration, Progress& progress) const {
  const auto end = Clock::now() + duration;
  progress.check();
  while (Clock::now() < end) {
    // As long as a transformer block on a GPU: that often a cancel is noticed.
    std::this_thread::sleep_for(std::min<Clock::duration>(std::chrono::milliseconds(10), end - Clock::now()));
    progress.check();
  }
}

void FakeRunner::load_part(int part, Progress& progress) {
  sleep(spec_.load / kParts, progress);
  if (part == kParts / 2) point("load", ++passed_["load"]);
  progress.loading(spec_.vram * (part + 1) / kParts, spec_.vram);
}

// As the model does it: filled by the first engine that is given it, and found as it was by all others.
// True when that has taken the time of a load.
bool FakeRunner::use_arena(const Job& job, Progress& progress) {
  const ArenaGrant grant = progress.arena(job.model, static_cast<std::int64_t>(spec_.arena));
  if (!grant.fd) return false;
  if (!grant.filled) {
    ArenaMapping filling(grant.fd.get(), spec_.arena, ArenaMapping::Access::fill);
    const std::uint64_t huge = filling.prepare(0, spec_.arena);
    const std::span<std::byte> bytes = filling.writable();
    for (int part = 0; part < kParts; ++part) {
      const std::size_t begin = bytes.size() * static_cast<std::size_t>(part) / kParts;
      const std::size_t end = bytes.size() * static_cast<std::size_t>(part + 1) / kParts;
      std::memset(bytes.data() + begin, std::to_integer<int>(kWeight), end - begin);
      load_part(part, progress);
    }
    seal_arena(grant.fd.get());
    progress.arena_filled(static_cast<std::int64_t>(huge));
  }
  arena_.emplace(grant.fd.get(), spec_.arena, ArenaMapping::Access::read);
  // Each byte is as the one before it: by one call, because under the thread sanitizer a loop takes seconds.
  const std::span<const std::byte> bytes = arena_->bytes();
  if (bytes.front() != kWeight || std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) != 0)
    throw Error(ErrorCode::failure, "the arena is not as it was filled");
  return !grant.filled;
}

void FakeRunner::load(const Job& job, Progress& progress) {
  if (on_device_) return;
  std::this_thread::sleep_for(spec_.open);
  const bool loaded = spec_.arena > 0 && !arena_ && use_arena(job, progress);
  for (int part = 0; part < kParts && !loaded; ++part) load_part(part, progress);
  on_device_ = true;
  progress.memory({spec_.vram, spec_.vram, "GPU"});
}

Result FakeRunner::run(const Job& job, Progress& progress) {
  Result result;
  const auto start = Clock::now();
  load(job, progress);
  result.timings["load"] = seconds_since(start);
  if (job.load_only) return result;
  const auto denoise = Clock::now();
  for (int step = 1; step <= job.steps; ++step) {
    sleep(spec_.step, progress);
    point("step", step);
    progress.step(step, job.steps, seconds_since(denoise) / step * (job.steps - step));
  }
  result.timings["denoise"] = seconds_since(denoise);
  result.width = job.width;
  result.height = job.height;
  ipc::PictureWriter picture(job.width, job.height);
  paint(job, picture.pixels());
  const bool spoil = point("done", ++passed_["done"]);
  result.picture = spoil ? shrunk(picture.pixels().size()) : picture.seal();
  return result;
}

void FakeRunner::offload(Progress& progress) {
  std::this_thread::sleep_for(spec_.offload);
  point("offload", ++passed_["offload"]);
  on_device_ = false;
  progress.memory({0, 0, "CPU"});
}

}  // namespace step1x::engine
