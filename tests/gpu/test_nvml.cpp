#include <dlfcn.h>
#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "gpu/driver_library.hpp"
#include "gpu/nvml.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;

TEST_CASE("without the library, or without a driver, there is none") {
  CHECK(!Nvml::open("no-such-library.so"));
  ::unsetenv("FAKE_NVML");
  CHECK(!Nvml::open(STEP1X_FAKE_NVML));
}

TEST_CASE("a driver's library is found where a system or a container has put it") {
  const test::TempDir dir;
  const std::string folder = dir.path().string();
  const std::array<const char*, 2> folders{"/nowhere", folder.c_str()};
  CHECK(open_driver_library("libdriver.so.1", folders) == nullptr);
  std::filesystem::copy_file(STEP1X_FAKE_NVML, dir.path() / "libdriver.so.1");
  void* found = open_driver_library("libdriver.so.1", folders);
  REQUIRE(found != nullptr);
  CHECK(::dlsym(found, "nvmlInit_v2") != nullptr);
  ::dlclose(found);
}

TEST_CASE("GPUs and their memory, anew each time, and what a process has there") {
  const test::TempDir dir;
  ::setenv("FAKE_NVML", dir.write("gpus", "GPU-a 800 300 12 90 13 -\nGPU-b 240 240\n").c_str(), 1);
  const auto nvml = Nvml::open(STEP1X_FAKE_NVML);
  REQUIRE(nvml);
  const auto gpus = nvml->gpus();
  REQUIRE(gpus.size() == 2);
  CHECK(gpus[0].uuid == "GPU-a");
  CHECK(gpus[0].total_bytes == 800);
  CHECK(gpus[0].free_bytes == 300);
  CHECK(gpus[1].free_bytes == 240);
  CHECK(nvml->used_by("GPU-a", 12) == 90);
  CHECK(!nvml->used_by("GPU-a", 13));
  CHECK(nvml->used_by("GPU-a", 14) == 0);
  CHECK(nvml->used_by("GPU-b", 12) == 0);
  CHECK(!nvml->used_by("GPU-c", 12));
  std::string many = "GPU-a 800 299";
  for (int pid = 1; pid <= 1000; ++pid) many += fmt::format(" {} {}", pid, pid * 2);
  dir.write("gpus", many);
  CHECK(nvml->gpus().size() == 1);
  CHECK(nvml->gpus()[0].free_bytes == 299);
  CHECK(nvml->used_by("GPU-a", 1000) == 2000);
}
