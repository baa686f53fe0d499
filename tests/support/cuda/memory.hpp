// Memory of the devices, and the host's as far as a device may read it at any time. Any thread.
//
// All devices' memory is one sparse file that is mapped twice: the addresses that are handed out cannot be touched by
// the host, as those of a GPU cannot, and kernels use the other mapping. Fresh memory is full of NaN.
#pragma once

#include <cstddef>

namespace stand_in {

// What a process takes on a device before it can use it, once, until it ends.
void make_context(int device);
bool has_context(int device);
// nullptr where the device has too little left.
void* allocate(int device, std::size_t bytes);
bool release(void* start);
bool is_device(const void* address);
// Whether the bytes lie in one allocation.
bool is_allocated(const void* start, std::size_t bytes);
std::size_t used_bytes(int device);
std::size_t free_bytes(int device);
int device_of(const void* address);
void* shadow(const void* address);

// nullptr where there is none.
void* allocate_pinned(std::size_t bytes);
bool release_pinned(void* start);
// False: a part of it is pinned already.
bool pin(const void* start, std::size_t bytes);
bool unpin(const void* start);
bool is_pinned(const void* start, std::size_t bytes);
std::size_t pinned_bytes();

}  // namespace stand_in
