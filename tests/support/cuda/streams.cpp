#include "streams.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "settings.hpp"
#include "stand_in.hpp"

namespace stand_in {

struct Stream {
  Stream(int which, int on) : number(which), device(on) {
    // Ends with the process, as libtorch's streams do.
    std::thread([this] { run(); }).detach();
  }

  // How much of what was queued may run now.
  std::uint64_t allowed() const { return setting(Setting::lazy) != 0 ? demanded : UINT64_MAX; }

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return !work.empty() && done < allowed(); });
      auto next = std::move(work.front());
      work.pop_front();
      lock.unlock();
      be_late();
      next();
      next = nullptr;
      lock.lock();
      ++done;
      changed.notify_all();
    }
  }

  void be_late() {
    const long long most = setting(Setting::delay_us);
    if (most <= 0) return;
    // Another seed may have come since.
    if (const long long now = setting(Setting::seed); now != seed)
      random.seed(static_cast<std::uint64_t>((seed = now) * 1000 + number));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % static_cast<std::uint64_t>(most)));
  }

  // Returns the number of pieces of work after which this one is done. As a driver's, a queue is finite, and who fills
  // it waits: without that a job would be asked for, and could not be cancelled, long before it is computed. One that
  // runs only when something waits for it has no such end.
  std::uint64_t add(std::function<void()> piece) {
    constexpr std::size_t kMost = 1024;
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return work.size() < kMost || setting(Setting::lazy) != 0; });
    work.push_back(std::move(piece));
    changed.notify_all();
    return ++queued;
  }

  void demand(std::uint64_t until) {
    const std::lock_guard lock(mutex);
    demanded = std::max(demanded, until);
    changed.notify_all();
  }

  void wait(std::uint64_t until) {
    demand(until);
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return done >= until; });
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> work;
  std::uint64_t queued = 0;
  std::uint64_t done = 0;
  std::uint64_t demanded = 0;
  int number;
  int device;
  long long seed = -1;
  std::mt19937_64 random;
};

class Moment {
 public:
  Stream* stream = nullptr;
  std::uint64_t number = 0;  // in its stream
  std::chrono::steady_clock::time_point at;
};

namespace {

thread_local int device_of_thread = 0;

struct Streams {
  std::mutex mutex;
  std::vector<Stream*> all;
  std::map<int, Stream*> defaults;
  Stream* make(int device) { return all.emplace_back(new Stream(static_cast<int>(all.size()), device)); }
};
Streams& streams() {
  static Streams& only = *new Streams;
  return only;
}

std::uint64_t queued(Stream& stream) {
  const std::lock_guard lock(stream.mutex);
  return stream.queued;
}

}  // namespace

int current_device() {
  return device_of_thread;
}

void set_current_device(int device) {
  device_of_thread = device;
}

Stream& stream_of(cudaStream_t handle) {
  // 0, cudaStreamLegacy and cudaStreamPerThread are no pointers.
  if (reinterpret_cast<std::uintptr_t>(handle) > 2) return *reinterpret_cast<Stream*>(handle);
  const std::lock_guard lock(streams().mutex);
  Stream*& found = streams().defaults[device_of_thread];
  if (found == nullptr) found = streams().make(device_of_thread);
  return *found;
}

cudaStream_t make_stream(int device) {
  const std::lock_guard lock(streams().mutex);
  return reinterpret_cast<cudaStream_t>(streams().make(device));
}

bool is_default(const Stream& stream) {
  const std::lock_guard lock(streams().mutex);
  return std::ranges::any_of(streams().defaults, [&](const auto& each) { return each.second == &stream; });
}

void enqueue(Stream& stream, std::function<void()> work) {
  stream.add(std::move(work));
}

bool is_idle(Stream& stream) {
  const std::lock_guard lock(stream.mutex);
  return stream.done == stream.queued;
}

void wait_for(Stream& stream) {
  stream.wait(queued(stream));
}

void wait_for_all() {
  std::vector<Stream*> all;
  {
    const std::lock_guard lock(streams().mutex);
    all = streams().all;
  }
  for (Stream* stream : all) stream->wait(queued(*stream));
}

std::shared_ptr<Moment> record(Stream& stream) {
  auto moment = std::make_shared<Moment>();
  moment->stream = &stream;
  moment->number = stream.add([moment] { moment->at = std::chrono::steady_clock::now(); });
  return moment;
}

void wait_within(Stream& stream, std::shared_ptr<Moment> moment) {
  stream.add([moment = std::move(moment)] { wait_for(*moment); });
}

void wait_for(Moment& moment) {
  moment.stream->wait(moment.number);
}

bool is_past(Moment& moment) {
  const std::lock_guard lock(moment.stream->mutex);
  return moment.stream->done >= moment.number;
}

std::chrono::steady_clock::time_point time_of(Moment& moment) {
  return moment.at;
}

}  // namespace stand_in

extern "C" void stand_in_enqueue(void* stream, void (*work)(void*), void* argument) {
  stand_in::count_call("pieces of work");
  const bool faulty = stand_in::refuses(stand_in::Setting::fault_at);
  stand_in::enqueue(stand_in::stream_of(static_cast<cudaStream_t>(stream)), [=] {
    work(argument);
    if (faulty) stand_in_break(cudaErrorIllegalAddress);
  });
}
