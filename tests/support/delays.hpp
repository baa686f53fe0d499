// Sleeps a little, now and then, wherever it is called from: what goes wrong when somebody is late then does.
#pragma once

#include <chrono>
#include <functional>
#include <random>
#include <thread>

namespace step1x::test {

// Another `seed` and another place sleep differently.
inline std::function<void(const char*)> delays(unsigned seed) {
  return [seed](const char* where) {
    thread_local std::minstd_rand random(seed + static_cast<unsigned>(where[0]) * 31 + static_cast<unsigned>(where[1]));
    if (random() % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 500));
  };
}

}  // namespace step1x::test
