// What the stand-in is told (stand_in.hpp), and what it counts. Any thread.
#pragma once

#include <atomic>
#include <string>

namespace stand_in {

enum class Setting {
  devices,
  bytes,
  taken,
  context,
  lazy,
  delay_us,
  seed,
  fail_malloc,
  fail_register,
  fail_host_alloc,
  fail_copy,
  fail_on,
  fault_at,
  skip_waits,
  read_only_register,
  driver,
  capability,
  count_
};
std::atomic<long long>& setting(Setting which);
std::atomic<long long>* setting_named(const std::string& name);

// Whether this call is the one that is to be refused.
bool refuses(Setting which);

void count_call(const std::string& name);
long long calls_of(const std::string& name);

}  // namespace stand_in
