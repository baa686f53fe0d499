// What `--fake SPEC` (and so `--model fake:SPEC`) says: comma-separated `key=value` and faults `action@point[=n]`.
//   step=20ms open=1s load=100ms offload=5ms vram=1   how long things take and how large the model is (GiB)
//   arena=64M                                         the model lies in the host arena, for which it asks the worker
//   die exit hang fail oom hog @ hello load step done offload      at the n-th time (step: in step n), default 1
//   garbage @ the same     bytes that are no frame go to the worker
//   shrink@done            the result can be shrunk under its reader
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/duration.hpp"

namespace step1x::engine {

struct FakeSpec {
  Duration step{0};
  Duration open{0};  // the files, before a load asks for the arena; a cancel is not noticed meanwhile
  Duration load{0};
  Duration offload{0};
  std::int64_t vram = 1LL << 30;
  std::uint64_t arena = 0;  // 0: none
  struct Fault {
    std::string action;
    int at = 1;
  };
  std::map<std::string, Fault, std::less<>> faults;  // by point

  // Throws Error(usage) that names the item.
  static FakeSpec parse(std::string_view text);
};

}  // namespace step1x::engine
