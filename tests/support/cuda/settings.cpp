#include "settings.hpp"

#include <array>
#include <cctype>
#include <cstdlib>
#include <map>
#include <mutex>

#include "stand_in.hpp"

namespace stand_in {
namespace {

constexpr auto kSettings = static_cast<std::size_t>(Setting::count_);
struct Default {
  const char* name;
  long long value;
};
constexpr std::array<Default, kSettings> kDefaults{{{"devices", 1},
                                                    {"bytes", 4LL << 30},
                                                    {"taken", 0},
                                                    {"context", 300LL << 20},
                                                    {"lazy", 0},
                                                    {"delay_us", 0},
                                                    {"seed", 1},
                                                    {"fail_malloc", 0},
                                                    {"fail_register", 0},
                                                    {"fail_host_alloc", 0},
                                                    {"fail_copy", 0},
                                                    {"fail_on", 0},
                                                    {"fault_at", 0},
                                                    {"skip_waits", 0},
                                                    {"read_only_register", 1},
                                                    {"driver", 13000},
                                                    {"capability", 90}}};

using Values = std::array<std::atomic<long long>, kSettings>;

// Never destroyed: threads of libtorch outlive static objects.
Values& values() {
  static Values& all = *[] {
    auto* made = new Values;
    for (std::size_t i = 0; i < kSettings; ++i) {
      std::string variable = std::string("STAND_IN_") + kDefaults[i].name;
      for (char& c : variable) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      const char* text = std::getenv(variable.c_str());
      (*made)[i] = text != nullptr ? std::atoll(text) : kDefaults[i].value;
    }
    return made;
  }();
  return all;
}

struct Calls {
  std::mutex mutex;
  std::map<std::string, long long> by_name;
};
Calls& calls() {
  static Calls& all = *new Calls;
  return all;
}

}  // namespace

std::atomic<long long>& setting(Setting which) {
  return values()[static_cast<std::size_t>(which)];
}

std::atomic<long long>* setting_named(const std::string& name) {
  for (std::size_t i = 0; i < kSettings; ++i) {
    if (name == kDefaults[i].name) return &values()[i];
  }
  return nullptr;
}

bool refuses(Setting which) {
  std::atomic<long long>& left = setting(which);
  const bool refused = left > 0 && --left == 0;
  if (refused && setting(Setting::fail_on) != 0) left = 1;
  return refused;
}

void count_call(const std::string& name) {
  const std::lock_guard lock(calls().mutex);
  ++calls().by_name[name];
}

long long calls_of(const std::string& name) {
  const std::lock_guard lock(calls().mutex);
  const auto found = calls().by_name.find(name);
  return found == calls().by_name.end() ? 0 : found->second;
}

}  // namespace stand_in

extern "C" {

void stand_in_called(const char* name) {
  stand_in::count_call(name);
}

void stand_in_set(const char* name, long long value) {
  if (auto* found = stand_in::setting_named(name)) *found = value;
}

}  // extern "C"
