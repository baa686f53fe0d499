#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <thread>
#include <vector>

#include "device/host_registration.hpp"

using namespace step1x;

namespace {

constexpr std::size_t kPiece = HostRegistration::kPiece;

// In place of a driver's: remembers what is pinned, and refuses when it is told to.
struct Pins {
  std::map<const std::byte*, std::size_t> pinned;  // of the registration's thread until that has ended
  std::atomic<std::size_t> count = 0;
  std::size_t room = SIZE_MAX;
  bool wrong = false;

  HostRegistration::Driver driver() {
    return {.pin =
                [this](std::span<const std::byte> piece) {
                  if (pinned.size() == room) return false;
                  wrong |= !pinned.emplace(piece.data(), piece.size()).second;
                  ++count;
                  return true;
                },
            .unpin = [this](const std::byte* start) { wrong |= pinned.erase(start) != 1; }};
  }
  void wait_for(std::size_t pieces) const {
    const auto hang = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (count < pieces && std::chrono::steady_clock::now() < hang) std::this_thread::yield();
    REQUIRE(count >= pieces);
  }
};

// Addresses only: none of it is read. It begins and ends within pieces.
std::span<const std::byte> three_pieces_and_two_parts() {
  const auto* start = reinterpret_cast<const std::byte*>(std::uintptr_t{10 * kPiece + 4096});
  return {start, 4 * kPiece};
}

}  // namespace

TEST_CASE("memory is pinned in pieces that cover it, none of them across a boundary, and all is unpinned at the end") {
  const auto memory = three_pieces_and_two_parts();
  Pins pins;
  {
    const HostRegistration registration(memory, pins.driver());
    pins.wait_for(5);
    const std::byte* end = memory.data();
    for (const auto& [start, bytes] : pins.pinned) {
      CHECK(start == end);
      CHECK(bytes <= HostRegistration::piece_left(start));
      end = start + bytes;
    }
    CHECK(end == memory.data() + memory.size());
  }
  CHECK(pins.pinned.empty());
  CHECK(!pins.wrong);
}

TEST_CASE("what is pinned when the driver refuses stays, and is unpinned at the end") {
  Pins pins;
  pins.room = 2;
  {
    const HostRegistration registration(three_pieces_and_two_parts(), pins.driver());
    pins.wait_for(2);
  }
  CHECK(pins.count == 2);
  CHECK(pins.pinned.empty());
  CHECK(!pins.wrong);
}

TEST_CASE("a registration that ends does not pin on") {
  Pins pins;
  HostRegistration::Driver driver = pins.driver();
  std::atomic<bool> go = false;
  driver.pin = [&, pin = std::move(driver.pin)](std::span<const std::byte> piece) {
    if (pins.count == 1) go.wait(false);
    return pin(piece);
  };
  {
    const std::jthread opener([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      go = true;
      go.notify_all();
    });
    const HostRegistration registration(three_pieces_and_two_parts(), std::move(driver));
    // The end is asked for while the second piece is being pinned.
    pins.wait_for(1);
  }
  CHECK(pins.count <= 2);
  CHECK(pins.pinned.empty());
  CHECK(!pins.wrong);
}

TEST_CASE("without CUDA in the process there is nothing to pin with") {
  CHECK(!HostRegistration::cuda(0));
}
