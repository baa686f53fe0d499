// NVIDIA's driver's libraries, which lie where the driver's installation, a container or the system has put them. The
// environment may say where, but a worker that lives on has not its caller's. Any thread.
#pragma once

#include <array>
#include <span>
#include <string>

namespace step1x {

// Where ld.so does not look by itself: WSL, NixOS, containers' toolkits, notebooks.
inline constexpr std::array<const char*, 4> kDriverFolders{"/usr/lib/wsl/lib", "/run/opengl-driver/lib",
                                                           "/usr/local/nvidia/lib64", "/usr/lib64-nvidia"};

// As dlopen(name, RTLD_NOW | RTLD_GLOBAL), and then from the folders. Who opens the same name afterwards is given this
// one. Null: it is nowhere.
void* open_driver_library(const std::string& name, std::span<const char* const> folders = kDriverFolders);

}  // namespace step1x
