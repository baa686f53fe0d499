#include <doctest/doctest.h>

#include "base/error.hpp"
#include "worker/queue.hpp"

using namespace step1x;
using namespace step1x::worker;

namespace {

std::shared_ptr<Job> job(std::uint64_t number, bool interactive = true) {
  auto made = std::make_shared<Job>();
  made->number = number;
  made->interactive = interactive;
  return made;
}

std::vector<std::uint64_t> drain(Queue& queue) {
  std::vector<std::uint64_t> numbers;
  while (const auto next = queue.pop()) numbers.push_back(next->number);
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
