// write_file always|never PATH BYTE COUNT: writes COUNT times BYTE with write_file_atomically. Exit status 0, 17 when
// the file exists, 1 for any other error, whose text goes to stderr.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/atomic_file.hpp"

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const auto replace = std::strcmp(argv[1], "never") == 0 ? step1x::Replace::never : step1x::Replace::always;
  const std::vector<std::byte> bytes(std::strtoull(argv[4], nullptr, 10), std::byte(argv[3][0]));
  try {
    step1x::write_file_atomically(argv[2], bytes, replace);
  } catch (const step1x::FileExists& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 17;
  } catch (const step1x::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
