// Runs a program to its end and collects what it printed. Any thread.
#pragma once

#include <string>
#include <vector>

namespace step1x::test {

struct Finished {
  int status = 0;  // exit status; 128 + the signal's number if a signal ended it, as in a shell
  std::string out;
  std::string err;
};

// `environment` holds NAME=VALUE entries added to the test's own. argv[0] is a path. stdin is /dev/null.
Finished run_process(const std::vector<std::string>& argv, const std::vector<std::string>& environment = {});

}  // namespace step1x::test
