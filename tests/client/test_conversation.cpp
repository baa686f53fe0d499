#include <doctest/doctest.h>
#include <unistd.h>

#include <csignal>
#include <future>
#include <vector>

#include "client/conversation.hpp"
#include "far_worker.hpp"

using namespace step1x;
using namespace step1x::client;
using test::FarWorker;
using Caller = FarWorker::Caller;

namespace {

constexpr Duration kShort{200};  // for the tests that wait until it has passed

// What became of the jobs, one word each, in order: "1 done", "2 timeout".
struct Log : Listener {
  void progress(const Job& /*job*/, const ipc::Json& event) override { events.push_back(event.at("event")); }
  void done(const Job& job, Result result) override {
    CHECK(result.picture);
    note(job, "done");
  }
  void failed(const Job& job, const Error& problem) override {
    note(job, name(problem.code()));
    last = problem.what();
  }
  void cancelled(const Job& job) override { note(job, "cancelled"); }
  void worker_died(const std::string& how) override { deaths.push_back(how); }
  void note(const Job& job, std::string_view what) {
    ends.push_back(fmt::format("{} {}", job.id, what));
    attempts = job.attempts;
  }

  std::vector<std::string> events;
  std::vector<std::string> ends;
  std::vector<std::string> deaths;
  std::string last;  // of the problems
  int attempts = 0;  // of the last job that ended
};

using Ends = std::vector<std::string>;

Options of_one_job(Duration timeout) {
  Options options;
  options.timeout = timeout;
  options.counted = Options::Counted::from_begun;
  return options;
}

struct Scene {
  explicit Scene(std::function<void(FarWorker&)> script, Options options = {})
      : far(std::move(script)), conversation(complete(std::move(options)), log) {}
  Options complete(Options options) const {
    options.client = far.options();
    options.more_workers = 3;
    return options;
  }
  // What is said of a worker, this process, that says no hello.
  static std::string unanswered() {
    return fmt::format(
        "worker {} takes connections and does not answer (step1x worker stop --force ends it): timed out", ::getpid());
  }
  void add(int count) {
    for (int i = 0; i < count; ++i) conversation.add({{"op", "edit"}}, -1);
  }
  // Turns until it is so.
  void turn_until(const std::function<bool()>& so) {
    const auto hangs = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!so()) {
      REQUIRE(std::chrono::steady_clock::now() < hangs);
      conversation.turn(hangs);
    }
  }
  void until_first_event() {
    turn_until([this] { return !log.events.empty(); });
  }
  void until_no_job() {
    turn_until([this] { return conversation.size() == 0; });
  }
  void run() {
    until_no_job();
    conversation.leave();
    CHECK(far.ended() == "");
  }
  // The message of what turn() throws.
  std::string run_into() {
    try {
      until_no_job();
    } catch (const Error& problem) {
      CHECK(conversation.size() == 0);
      CHECK(far.ended() == "");
      return problem.what();
    }
    return "nothing";
  }

  FarWorker far;
  Log log;
  Conversation conversation;
};

}  // namespace

TEST_CASE("jobs are sent with ids of their own and end with their pictures, in whatever order") {
  Scene scene([](FarWorker& far) {
    Caller caller = far.accept();
    const ipc::Json one = caller.next();
    const ipc::Json two = caller.next();
    caller.begin(two);
    caller.finish(two);
    caller.finish(one);
    caller.wait_for_end();
  });
  scene.add(2);
  scene.run();
  CHECK(scene.log.ends == Ends{"2 done", "1 done"});
  CHECK(scene.log.events == std::vector<std::string>{"queued"});
}

TEST_CASE("an error ends its job alone") {
  Scene scene([](FarWorker& far) {
    Caller caller = far.accept();
    const ipc::Json one = caller.next();
    const ipc::Json two = caller.next();
    caller.say({{"event", "error"}, {"id", one.at("id")}, {"code", "out_of_memory"}, {"message", "too large"}});
    caller.finish(two);
    caller.wait_for_end();
  });
  scene.add(2);
  scene.run();
  CHECK(scene.log.ends == Ends{"1 out_of_memory", "2 done"});
  CHECK(scene.log.last == "too large");
}

TEST_CASE("from a worker that leaves everything goes to the next, and that counts as no attempt") {
  Scene scene([](FarWorker& far) {
    for (int i = 0; i < 3; ++i) {
      Caller leaving = far.accept();
      const ipc::Json request = leaving.next();
      leaving.begin(request);
      leaving.say("restart", request);
    }
    Caller caller = far.accept();
    const ipc::Json one = caller.next();
    const ipc::Json two = caller.next();
    caller.finish(one);
    caller.finish(two);
    caller.wait_for_end();
  });
  scene.add(2);
  scene.run();
  CHECK(scene.log.ends == Ends{"1 done", "2 done"});
  CHECK(scene.log.attempts == 1);
  CHECK(scene.log.deaths.empty());
}

TEST_CASE("workers that only ever leave are given up") {
  Scene scene([](FarWorker& far) {
    for (int i = 0; i < 4; ++i) {
      Caller leaving = far.accept();
      leaving.say("restart", leaving.next());
    }
  });
  scene.add(1);
  CHECK(scene.run_into().starts_with("4 workers in a row have left before the job was done"));
}

TEST_CASE("what a worker has said before it closed is heard, though sending to it fails") {
  std::promise<void> sent;
  std::promise<void> closed;
  Scene scene([&](FarWorker& far) {
    {
      Caller leaving = far.accept();
      const ipc::Json one = leaving.next();
      sent.get_future().wait();
      leaving.finish(one);
      leaving.say("restart", one);
    }
    closed.set_value();
    Caller caller = far.accept();
    caller.finish(caller.next());
    caller.wait_for_end();
  });
  scene.add(1);
  scene.conversation.turn(std::chrono::steady_clock::now());
  sent.set_value();
  closed.get_future().wait();
  scene.add(1);
  scene.run();
  CHECK(scene.log.ends == Ends{"1 done", "2 done"});
  CHECK(scene.log.deaths.empty());
}

TEST_CASE("a job that an engine had when its worker died is tried once more and no oftener, the one behind it always") {
  Scene scene([](FarWorker& far) {
    for (const char* first_word : {"loading", "step"}) {
      Caller dying = far.accept();
      dying.say(first_word, dying.next());
      dying.next();
    }
    Caller caller = far.accept();
    caller.finish(caller.next());
    caller.wait_for_end();
  });
  scene.add(2);
  scene.run();
  CHECK(scene.log.ends == Ends{"1 worker_failed", "2 done"});
  CHECK(scene.log.deaths.size() == 2);
  CHECK(scene.log.last == fmt::format("worker {} died in the middle of the job, as the one before", ::getpid()));
}

TEST_CASE("workers that only ever die are given up") {
  Scene scene([](FarWorker& far) {
    for (int i = 0; i < 4; ++i) far.accept().next();
  });
  scene.add(1);
  CHECK(scene.run_into().starts_with("worker "));
  CHECK(scene.log.deaths.size() == 3);
}

TEST_CASE("nobody is told of a worker that dies while there is nothing to do") {
  Scene scene([](FarWorker& far) {
    for (int i = 0; i < 2; ++i) {
      Caller caller = far.accept();
      caller.finish(caller.next());
    }
  });
  scene.add(1);
  scene.until_no_job();
  scene.conversation.turn(std::chrono::steady_clock::now() + kShort);
  scene.add(1);
  scene.run();
  CHECK(scene.log.ends == Ends{"1 done", "2 done"});
  CHECK(scene.log.deaths.empty());
}

TEST_CASE("the picture of a cancelled job comes late and is dropped") {
  Scene scene([](FarWorker& far) {
    Caller caller = far.accept();
    const ipc::Json one = caller.next();
    const ipc::Json two = caller.next();
    caller.begin(one);
    CHECK(caller.next() == ipc::Json({{"op", "cancel"}, {"id", 2}}));
    CHECK(caller.next() == ipc::Json({{"op", "cancel"}, {"id", 1}}));
    caller.finish(two);
    caller.finish(one);
    caller.wait_for_end();
  });
  scene.add(2);
  scene.until_first_event();
  scene.conversation.cancel_unbegun();
  scene.conversation.cancel_all();
  scene.run();
  CHECK(scene.log.ends == Ends{"2 cancelled", "1 cancelled"});
}

TEST_CASE("a job that was not sent yet is cancelled without a worker") {
  Scene scene([](FarWorker&) {});
  scene.add(1);
  scene.conversation.cancel_all();
  CHECK(scene.log.ends == Ends{"1 cancelled"});
}

TEST_CASE("a job whose time is over is cancelled, and fails even when its picture comes late") {
  Scene scene(
      [](FarWorker& far) {
        Caller caller = far.accept();
        const ipc::Json one = caller.next();
        caller.begin(one);
        CHECK(caller.next().at("op") == "cancel");
        caller.finish(one);
        caller.wait_for_end();
      },
      of_one_job(kShort));
  scene.add(1);
  scene.run();
  CHECK(scene.log.ends == Ends{"1 timeout"});
  CHECK(scene.log.last == "no picture after 200ms (--timeout): cancelled");
}

TEST_CASE("a job whose time is over is not sent to the next worker") {
  for (const bool in_order : {true, false}) {
    CAPTURE(in_order);
    Scene scene(
        [&](FarWorker& far) {
          {
            Caller leaving = far.accept();
            const ipc::Json one = leaving.next();
            leaving.begin(one);
            CHECK(leaving.next() == ipc::Json({{"op", "cancel"}, {"id", 1}}));
            leaving.next();
            if (in_order) leaving.say("restart", one);
          }
          Caller caller = far.accept();
          caller.finish(caller.next());
          caller.wait_for_end();
        },
        of_one_job(kShort));
    scene.add(1);
    scene.until_first_event();
    std::this_thread::sleep_for(kShort);
    scene.conversation.turn(std::chrono::steady_clock::now());
    scene.add(1);
    scene.run();
    CHECK(scene.log.ends == Ends{"1 timeout", "2 done"});
  }
}

TEST_CASE("at the next worker a job's time counts from its beginning there") {
  Scene scene(
      [](FarWorker& far) {
        {
          Caller leaving = far.accept();
          const ipc::Json one = leaving.next();
          leaving.begin(one);
          leaving.say("restart", one);
        }
        Caller caller = far.accept();
        const ipc::Json one = caller.next();
        std::this_thread::sleep_for(2 * kShort);
        caller.finish(one);
        caller.wait_for_end();
      },
      of_one_job(kShort));
  scene.add(1);
  scene.run();
  CHECK(scene.log.ends == Ends{"1 done"});
}

TEST_CASE("a worker that does not answer a cancel is left, and the other jobs go to whoever answers") {
  Scene scene(
      [](FarWorker& far) {
        Caller silent = far.accept();
        silent.begin(silent.next());
        silent.wait_for_end();
        Caller caller = far.accept();
        const ipc::Json two = caller.next();
        CHECK(two.at("id") == 2);
        caller.finish(two);
        caller.wait_for_end();
      },
      of_one_job(kShort));
  scene.add(2);
  scene.run();
  CHECK(scene.log.ends == Ends{"1 timeout", "2 done"});
  CHECK(scene.log.deaths.empty());
  CHECK(scene.log.attempts == 1);
}

TEST_CASE("a worker that does not answer a cancel, nor the next hello, is waited for no longer than a job") {
  Scene scene(
      [](FarWorker& far) {
        Caller silent = far.accept();
        silent.begin(silent.next());
        silent.wait_for_end();
      },
      of_one_job(kShort));
  scene.add(2);
  CHECK(scene.run_into() == scene.unanswered() + " after 200ms (--timeout)");
  CHECK(scene.log.ends == Ends{"1 timeout"});
}

TEST_CASE("where the time counts from the start, the way to the worker is part of it") {
  Options options;
  options.timeout = kShort;
  options.counted = Options::Counted::from_add;
  Scene scene([](FarWorker&) {}, options);
  scene.add(1);
  CHECK(scene.run_into() == scene.unanswered() + " after 200ms (--timeout)");
}

TEST_CASE("the first signal cancels all jobs and waits, the second leaves at once") {
  Scene scene([](FarWorker& far) {
    Caller caller = far.accept();
    caller.begin(caller.next());
    caller.wait_for_end();
  });
  scene.add(1);
  scene.until_first_event();
  std::raise(SIGTERM);
  scene.conversation.turn();
  CHECK(scene.conversation.interrupted());
  CHECK(scene.conversation.size() == 1);
  std::raise(SIGINT);
  CHECK(scene.run_into() == "interrupted");
}

TEST_CASE(
    "an interrupted job that is not answered ends all the same, and stays an interrupted one when its time is over") {
  for (const Options& options : {Options(), of_one_job(kShort)}) {
    Scene scene(
        [](FarWorker& far) {
          Caller caller = far.accept();
          caller.begin(caller.next());
          CHECK(caller.next().at("op") == "cancel");
          caller.wait_for_end();
        },
        options);
    scene.add(1);
    scene.until_first_event();
    std::raise(SIGTERM);
    scene.run();
    CHECK(scene.log.ends == Ends{"1 cancelled"});
  }
}

TEST_CASE("each worker hears of the lease before the first job") {
  Options options;
  options.lease = ipc::Json({{"op", "lease"}});
  Scene scene(
      [](FarWorker& far) {
        for (const bool leaves : {true, false}) {
          Caller caller = far.accept();
          CHECK(caller.next() == ipc::Json({{"op", "lease"}}));
          caller.say({{"event", "leased"}});
          const ipc::Json request = caller.next();
          if (leaves) {
            caller.say("restart", request);
          } else {
            caller.finish(request);
          }
          caller.wait_for_end();
        }
      },
      options);
  scene.add(1);
  scene.run();
  CHECK(scene.log.ends == Ends{"1 done"});
}
