#include "engine/devices.hpp"

#include "base/error.hpp"
#include "support/temp_dir.hpp"
// clang-format off: after libtorch
#include "support/doctest_with_torch.hpp"
// clang-format on

using namespace step1x;
using step1x::engine::find_device;

namespace {

std::string refusal_of(const std::string& name) {
  try {
    find_device(name);
  } catch (const Error& problem) {
    CHECK(problem.code() == ErrorCode::usage);
    return problem.what();
  }
  return "";
}

}  // namespace

TEST_CASE("the CPU has no memory of its own") {
  const engine::Device device = find_device("cpu");
  CHECK(!device.memory.separate());
  CHECK(device.uuid.empty());
  CHECK(device.memory.device().is_cpu());
}

TEST_CASE(
    "a simulated device has the memory that its name says, less what others have of it while their file is there") {
  const engine::Device plain = find_device("sim:64m");
  CHECK(plain.memory.simulated());
  CHECK(plain.memory.free_bytes() == 64 << 20);
  CHECK(plain.uuid.empty());
  const test::TempDir dir;
  const std::string file = dir.write("busy", "").string();
  const engine::Device shared = find_device("sim:64m,taken=1m,busy=16m:" + file + ",uuid=SIM-1");
  CHECK(shared.uuid == "SIM-1");
  CHECK(shared.memory.free_bytes() == 48 << 20);
  std::filesystem::remove(file);
  CHECK(shared.memory.free_bytes() == 64 << 20);
  // What nobody knows of shows when it is asked for.
  CHECK_THROWS_AS(shared.memory.allocate(64 << 20), Error);
}

TEST_CASE("a name that no device has is refused with what there may be") {
  for (const char* name : {"gpu", "CUDA:0", "", "cpu:0", "sim"}) {
    CAPTURE(name);
    CHECK(refusal_of(name).find("there are auto, cpu, cuda:N and a GPU's UUID") != std::string::npos);
  }
  for (const char* name : {"sim:", "sim:much", "sim:1g,", "sim:1g,full=1m", "sim:1g,busy=1m", "sim:1g,uuid=a/b"}) {
    CAPTURE(name);
    CHECK(refusal_of(name).find("sim") != std::string::npos);
  }
}
