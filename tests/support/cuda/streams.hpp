// Streams and events: threads with queues, and moments in them. Any thread.
//
// Where the stand-in is lazy a stream does only what somebody waits for: the host for the stream or for an event in
// it, or a stream that is itself waited for.
#pragma once

#include <cuda_runtime_api.h>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>

namespace stand_in {

// What an event is, once it is recorded.
class Moment;

struct Stream;

// nullptr and the two special handles are the default stream of the calling thread's device.
Stream& stream_of(cudaStream_t handle);
cudaStream_t make_stream(int device);
bool is_default(const Stream& stream);
void enqueue(Stream& stream, std::function<void()> work);
bool is_idle(Stream& stream);
void wait_for(Stream& stream);
void wait_for_all();

std::shared_ptr<Moment> record(Stream& stream);
// Later work of `stream` comes after it.
void wait_within(Stream& stream, std::shared_ptr<Moment> moment);
void wait_for(Moment& moment);
bool is_past(Moment& moment);
std::chrono::steady_clock::time_point time_of(Moment& moment);

int current_device();
void set_current_device(int device);

}  // namespace stand_in
