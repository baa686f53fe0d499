// A stand-in for the CUDA runtime, so that libtorch's real CUDA library, and with it all of step1x that is about a GPU,
// runs on a machine without a driver. What is real: libtorch_cuda, its caching allocator, streams and events as it uses
// them, the choice of operators. What stands in: device memory is host memory that the host cannot touch by the address
// it was given, a stream is a thread with a queue, and ATen's CUDA kernels are the CPU's, run in stream order on raw
// addresses (operators.cpp), so that a missing wait, a missing record_stream or a refused allocation shows as wrong
// pictures or deaths. Not covered: numerics and speed of real kernels, errors of cuBLAS and cuDNN, graphs, peer copies.
//
// It is preloaded (see run.sh), and is what its settings say:
//
//   STAND_IN_DEVICES       how many there are (1); CUDA_VISIBLE_DEVICES chooses among GPU-standin-0, -1, ...
//   STAND_IN_BYTES         memory of each (4 GiB); STAND_IN_TAKEN: of that, by others (0); STAND_IN_CONTEXT: of that,
//                          by each process that uses it, beside what it allocates (300 MiB)
//   STAND_IN_MACHINE       a folder: processes with the same one share the memory of the devices, and a stand-in for
//                          NVML tells what each of them holds; a process can be told settings there while it runs
//                          (control.cpp)
//   STAND_IN_UUID          what the devices' UUIDs begin with
//   STAND_IN_LAZY          1: a stream runs only when something waits for it
//   STAND_IN_DELAY_US      each piece of work is late by a random time up to this; STAND_IN_SEED: of that
//   STAND_IN_FAIL_MALLOC, _FAIL_REGISTER, _FAIL_HOST_ALLOC, _FAIL_COPY: the Nth call is refused, and with
//   STAND_IN_FAIL_ON       1: all after it too
//   STAND_IN_FAULT_AT      the Nth piece of work ends in an illegal address, after which every call fails
//   STAND_IN_SKIP_WAITS    bits: 1 waits of a default stream for an event, 2 those of other streams, 4 the host's for
//                          an event, 8 the host's for a stream
//   STAND_IN_READ_ONLY_REGISTER 0: the device cannot register read-only memory
//   STAND_IN_DRIVER        what cudaDriverGetVersion says (13000); STAND_IN_CAPABILITY (90)
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {
// Runs work(argument) on a stream (a cudaStream_t), in its order.
void stand_in_enqueue(void* stream, void (*work)(void*), void* argument);
// Where the host finds what lies at an address of a device; other addresses are returned as they are.
void* stand_in_shadow(const void* address);
// A setting, by its name without STAND_IN_; -1 for one that does not exist.
void stand_in_set(const char* setting, long long value);
// Of an entry point or operator ("aten::add.Tensor"): how often it was called. "pieces of work": those
// that STAND_IN_FAULT_AT counts. "used bytes" (of the thread's device), "used bytes of all", "pinned bytes": of now.
long long stand_in_count(const char* name);
// Counts a call.
void stand_in_called(const char* name);
// The error that all calls return from now on.
void stand_in_break(int error);
}
