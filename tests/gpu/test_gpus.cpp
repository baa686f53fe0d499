#include <doctest/doctest.h>

#include "base/error.hpp"
#include "gpu/gpus.hpp"

using namespace step1x;

namespace {

const std::vector<Gpu> kGpus{{"GPU-aaaa1111", 80, 10}, {"GPU-aaaa2222", 80, 70}, {"GPU-bbbb", 24, 20}};

std::string letters(const std::vector<Gpu>& gpus) {
  std::string text;
  for (const Gpu& gpu : gpus) text += gpu.uuid.substr(4) + " ";
  return text;
}

}  // namespace

TEST_CASE("CUDA_VISIBLE_DEVICES is read as CUDA reads it") {
  const auto visible = [](const char* text) { return letters(visible_gpus(kGpus, text)); };
  CHECK(visible("") == letters(kGpus));
  CHECK(visible("1") == "aaaa2222 ");
  CHECK(visible("2,0") == "bbbb aaaa1111 ");
  CHECK(visible("GPU-bbbb,GPU-aaaa1") == "bbbb aaaa1111 ");
  CHECK(visible("GPU-b,0") == "bbbb aaaa1111 ");
  // Up to the first that is none.
  CHECK(visible("-1") == "");
  CHECK(visible("1,7,0") == "aaaa2222 ");
  CHECK(visible("GPU-aaaa,2") == "");  // which of two?
  CHECK(visible("1,,0") == "aaaa2222 ");
  CHECK(visible("none") == "");
  CHECK(visible("99999999999999999999") == "");
  CHECK(visible("1,1") == "");
  CHECK(visible_gpus({}, "0").empty());
}

TEST_CASE("NVIDIA_VISIBLE_DEVICES counts unless a container's runtime has done what it says") {
  const auto visible = [](const char* text) { return letters(container_gpus(kGpus, text)); };
  CHECK(visible("1") == "aaaa2222 ");
  CHECK(visible("2,0") == "bbbb aaaa1111 ");
  CHECK(visible("none") == "");
  CHECK(visible("void") == "");
  for (const char* of_the_host : {"", "all", "3", "1,5", "GPU-cccc", "1,1"}) {
    CAPTURE(of_the_host);
    CHECK(visible(of_the_host) == letters(kGpus));
  }
}

TEST_CASE("a name means one GPU, and without one it is the one with the most free memory") {
  CHECK(choose_gpu(kGpus, "auto") == 1);
  CHECK(choose_gpu(kGpus, "cuda") == 1);
  CHECK(choose_gpu(kGpus, "cuda:2") == 2);
  CHECK(choose_gpu(kGpus, "GPU-aaaa1") == 0);
  CHECK(choose_gpu({{"GPU-x", 8, 4}, {"GPU-y", 8, 4}}, "auto") == 0);
  for (const char* none : {"cuda:3", "cuda:", "cuda:-1", "cuda:1x", "GPU-aaaa", "GPU-", "GPU-c"}) {
    CAPTURE(none);
    CHECK_THROWS_WITH_AS(choose_gpu(kGpus, none), doctest::Contains("cuda:1 (GPU-aaaa2222)"), Error);
  }
}
