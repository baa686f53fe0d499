// The devices of the machine, of which CUDA_VISIBLE_DEVICES leaves a process some; and, where STAND_IN_MACHINE names a
// folder, what all processes on this stand-in hold of each: a file of it that they share. Numbers are the machine's.
// Any thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace stand_in {

constexpr int kMostDevices = 16;

struct Holder {
  unsigned pid;
  std::size_t bytes;
};

// By number, as this process may use them.
std::vector<int> visible_devices();
std::string uuid_of(int device);

bool is_shared();
// What this process holds from now on.
void hold(int device, std::size_t bytes);
// Of the processes that live, those that hold something.
std::vector<Holder> holders(int device);
std::size_t held_by_others(int device);

}  // namespace stand_in
