#include "gpu/driver_library.hpp"

#include <dlfcn.h>

namespace step1x {

void* open_driver_library(const std::string& name, std::span<const char* const> folders) {
  void* found = ::dlopen(name.c_str(), RTLD_NOW | RTLD_GLOBAL);
  // A path is meant as it is.
  if (name.find('/') != std::string::npos) return found;
  for (const char* folder : folders) {
    if (found == nullptr) found = ::dlopen((std::string(folder) + "/" + name).c_str(), RTLD_NOW | RTLD_GLOBAL);
  }
  return found;
}

}  // namespace step1x
