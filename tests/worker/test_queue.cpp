#include <doctest/doctest.h>

#include "base/error.hpp"
#include "worker/queue.hpp"

using namespace step1x;
using namespace step1x::worker;

namespace {

std::shared_ptr<Job> job(std::uint64_t number, bool interactive = true, const char* model = "a") {
  auto made = std::make_shared<Job>();
  made->number = number;
  made->interactive = interactive;
  made->model = model;
  return made;
}

std::uint64_t pop(Queue& queue, const char* loaded = "", Duration now = Duration(0)) {
  const auto next = queue.pop(loaded, now, [](const Job&) { return Queue::Fit::now; });
  return next ? next->number : 0;
}

std::vector<std::uint64_t> drain(Queue& queue) {
  std::vector<std::uint64_t> numbers;
  while (const auto next = pop(queue)) numbers.push_back(next);
  return numbers;
}

}  // namespace

TEST_CASE("interactive jobs go before those of a batch, each kind in order") {
  Queue queue;
  queue.push(job(1, false));
  queue.push(job(2, true));
  queue.push(job(3, false));
  queue.push(job(4, true));
  CHECK(drain(queue) == std::vector<std::uint64_t>{2, 4, 1, 3});
}

TEST_CASE("jobs for the loaded model go first, eight of them past one for another") {
  Queue queue;
  queue.push(job(1, true, "b"));
  for (std::uint64_t i = 0; i < 10; ++i) queue.push(job(10 + i, true, "a"));
  for (std::uint64_t i = 0; i < 8; ++i) CHECK(pop(queue, "a") == 10 + i);
  CHECK(pop(queue, "a") == 1);
  CHECK(pop(queue, "a") == 18);
}

TEST_CASE("nobody is passed over a minute after it came") {
  Queue queue;
  queue.push(job(1, true, "b"));
  queue.push(job(2, true, "a"));
  queue.push(job(3, true, "a"));
  CHECK(pop(queue, "a", std::chrono::seconds(59)) == 2);
  CHECK(pop(queue, "a", std::chrono::seconds(60)) == 1);
}

TEST_CASE("a batch job for the loaded model does not go before an interactive one for another") {
  Queue queue;
  queue.push(job(1, true, "b"));
  queue.push(job(2, false, "a"));
  CHECK(pop(queue, "a") == 1);
}

TEST_CASE("a job that may not run now is left, and keeps its place") {
  Queue queue;
  queue.push(job(1, true, "b"));
  queue.push(job(2, true, "a"));
  const auto only_a = [](const Job& waiting) { return waiting.model == "a" ? Queue::Fit::now : Queue::Fit::no; };
  CHECK(queue.pop("", Duration(0), only_a)->number == 2);
  CHECK(queue.pop("", Duration(0), only_a) == nullptr);
  CHECK(pop(queue) == 1);
}

TEST_CASE(
    "where devices are busy with one model, a job for another is passed over for a while, and then all wait for it") {
  Queue queue;
  queue.push(job(1, true, "b"));
  for (std::uint64_t i = 0; i < 9; ++i) queue.push(job(10 + i, true, "a"));
  const auto busy = [](const Job& waiting) { return waiting.model == "a" ? Queue::Fit::now : Queue::Fit::soon; };
  for (std::uint64_t i = 0; i < 8; ++i) CHECK(queue.pop("a", Duration(0), busy)->number == 10 + i);
  CHECK(queue.pop("a", Duration(0), busy) == nullptr);
  CHECK(pop(queue, "a") == 1);
  CHECK(pop(queue, "a") == 18);
}

TEST_CASE("a retried job is next, even one of a batch") {
  Queue queue;
  queue.push(job(1));
  queue.push_front(job(2, false));
  CHECK(drain(queue) == std::vector<std::uint64_t>{2, 1});
}

TEST_CASE("a removed job is gone and the others move up") {
  Queue queue;
  const auto first = job(1);
  const auto second = job(2);
  queue.push(first);
  queue.push(second);
  CHECK(queue.position(*second) == 1);
  CHECK(queue.remove(*first));
  CHECK(!queue.remove(*first));
  CHECK(queue.position(*second) == 0);
}

TEST_CASE("a full queue says busy") {
  Queue queue;
  for (std::size_t i = 0; i < Queue::kMaxWaiting; ++i) queue.push(job(i));
  CHECK_THROWS_WITH_AS(queue.push(job(0)), doctest::Contains("512 jobs wait"), Error);
  CHECK(queue.size() == Queue::kMaxWaiting);
}
