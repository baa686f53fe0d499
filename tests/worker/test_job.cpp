#include <doctest/doctest.h>

#include "base/error.hpp"
#include "ipc/picture.hpp"
#include "worker/job.hpp"

using namespace step1x;
using namespace step1x::worker;

namespace {

ipc::Json edit_request() {
  return {{"op", "edit"}, {"fd", "image"}, {"width", 4}, {"height", 4},     {"prompt", "red"},
          {"size", 512},  {"steps", 28},   {"seed", 1},  {"guidance", 6.0}, {"model", "/models/step1x"}};
}

std::shared_ptr<Job> make(ipc::Json body) {
  return make_job({std::move(body), ipc::PictureWriter(4, 4).seal()}, 9);
}

}  // namespace

TEST_CASE("a request becomes a job with the worker's own number") {
  ipc::Json body = edit_request();
  body["id"] = 3;
  const auto job = make(body);
  CHECK(job->id == 3);
  CHECK(job->number == 9);
  CHECK(job->request["id"] == 9);
  CHECK(job->interactive);
  CHECK(job->image);
}

TEST_CASE("every member that is missing, of a wrong type or out of range is refused by name") {
  const std::vector<std::pair<const char*, ipc::Json>> wrong = {
      {"width", 0},
      {"width", 70'000},
      {"height", "4"},
      {"prompt", nullptr},
      {"prompt", std::string(65'537, 'x')},
      {"size", 15},
      {"steps", 0},
      {"steps", 1001},
      {"steps", 1.5},
      {"guidance", -1},
      {"guidance", "6"},
      {"seed", -1},
      {"seed", 1e300},
      {"model", "relative/folder"},
      {"model", 5},
      {"id", -1},
      {"priority", "high"},
      {"device", 5},
      {"plan", "fast"},
      {"max_vram", "20G"},
      {"max_vram", 1e300},
      {"min_free_vram", -1},
      // More nanoseconds than there is room for.
      {"wait_gpu", 1LL << 50},
  };
  for (const auto& [member, value] : wrong) {
    CAPTURE(member);
    ipc::Json body = edit_request();
    body[member] = value;
    CHECK_THROWS_WITH_AS(make(body), doctest::Contains(member), Error);
  }
}

TEST_CASE("line breaks and zero bytes in a refused member do not break its one line") {
  for (const char* member : {"model", "priority", "torch_dir"}) {
    ipc::Json body = edit_request();
    body[member] = std::string("a\n\0b", 4);
    std::string message;
    try {
      make(body);
    } catch (const Error& error) {
      message = error.what();
    }
    CHECK_MESSAGE(message.find(member) != std::string::npos, message);
    CHECK(message.find_first_of(std::string_view("\n\0", 2)) == std::string::npos);
  }
}

TEST_CASE("a picture of another size than the request says is refused") {
  ipc::Json body = edit_request();
  body["width"] = 5;
  CHECK_THROWS_AS(make(body), Error);
  CHECK_THROWS_AS(make_job({edit_request(), UniqueFd()}, 1), Error);
}

TEST_CASE("a request that would be too long to send on to an engine is refused") {
  ipc::Json body = edit_request();
  // "1e9" each in the frame that came, "1000000000.0" in the one that would go.
  body["unknown"] = std::vector<double>(100'000, 1e9);
  CHECK_THROWS_WITH_AS(make(body), doctest::Contains("over the limit"), Error);
}

TEST_CASE("jobs of the fake engine and of other visible devices need an engine of their own") {
  ipc::Json fake = edit_request();
  fake["model"] = "fake:step=1ms";
  ipc::Json visible = edit_request();
  visible["visible_devices"] = "1";
  ipc::Json container = edit_request();
  container["container_devices"] = "1";
  ipc::Json other_model = edit_request();
  other_model["model"] = "/models/other";
  CHECK(make(edit_request())->launch_key != make(fake)->launch_key);
  CHECK(make(edit_request())->launch_key != make(visible)->launch_key);
  CHECK(make(container)->launch_key != make(visible)->launch_key);
  CHECK(make(edit_request())->launch_key == make(other_model)->launch_key);
}
