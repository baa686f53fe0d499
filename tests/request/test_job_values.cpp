#include "request/job_values.hpp"

#include <doctest/doctest.h>

#include "base/error.hpp"

using namespace step1x;
using namespace step1x::request;

namespace {

Json least_request() {
  return {{"prompt", "red"}, {"size", 512}, {"steps", 8}, {"guidance", 4.5}, {"seed", 7}, {"model", "/m"}};
}

}  // namespace

TEST_CASE("a request with no more than it must have is read with the table's defaults") {
  const Job job = read_job(least_request());
  CHECK(job.prompt == "red");
  CHECK(job.size == 512);
  CHECK(job.guidance == 4.5);
  CHECK(job.device == "auto");
  CHECK(job.plan == "auto");
  CHECK(job.negative_prompt.empty());
  CHECK(job.guidance_damping.empty());
  CHECK(!job.vae_tiling);
  CHECK(!job.max_vram);
  CHECK(!job.wait_gpu);
}

TEST_CASE("every parameter of the table that a request has is read") {
  // Another value than the default for each, by type: a row that read_job() forgets shows as an unchanged job.
  for (const Parameter& row : parameters()) {
    CAPTURE(row.name);
    Json request = least_request();
    const Job before = read_job(request);
    Json& value = request[std::string(row.name)];
    switch (row.type) {
      case Type::text:
        value = "/another";
        break;
      case Type::word:
        value = row.words.back();
        break;
      case Type::boolean:
        value = true;
        break;
      case Type::integer:
      case Type::number:
      case Type::size:
      case Type::signed_size:
      case Type::duration:
        value = 17;
        break;
    }
    const Job after = read_job(request);
    CHECK_FALSE(after == before);
    value = nullptr;
    if (row.presence == Presence::required)
      CHECK_THROWS_WITH_AS(read_job(request), doctest::Contains("missing"), Error);
    else
      CHECK(read_job(request) == before);
  }
}

TEST_CASE("a request with a wrong member is refused by its name") {
  Json request = least_request();
  request["steps"] = 1e300;
  CHECK_THROWS_WITH_AS(read_job(request), "steps: 1e+300 is not an integer from 1 to 1000", Error);
  request = least_request();
  request["plan"] = "fast";
  CHECK_THROWS_WITH_AS(read_job(request), "plan: \"fast\" is not one of auto, resident, staged, stream", Error);
}
