// From requests to written pictures: what `edit` and `generate` have in common once they know what to ask for.
#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>

#include "commands.hpp"
#include "config/config.hpp"
#include "ipc/frame.hpp"
#include "job_flags.hpp"
#include "jobs.hpp"
#include "picture_input.hpp"
#include "picture_output.hpp"

namespace step1x::cli {

// The pictures of one command, one after the other. Of one alone a failure is thrown. Of several it is said, and the
// others are made all the same, but for what would fail them too: an interrupt, the end of the time, no worker, a full
// disk.
class PictureJobs {
 public:
  PictureJobs(const config::Loaded& loaded, const JobFlags& flags, const Context& context)
      : loaded_(loaded), flags_(flags), context_(context), limit_(loaded.settings.timeout, context.json) {}

  // How many inputs there are, each with --count results.
  void expect(std::size_t inputs) { expected_ = inputs * static_cast<std::size_t>(flags_.count); }

  // Seconds since construction, or since begin(), under a name of the record's `timings`.
  void begin();
  void note(const char* name);

  // Sends the request, once for each of --count, with `input`, which may be none (InputPicture{}), writes the results
  // to `output`, and prints paths or records. Throws Error as Jobs::run() does, and Error(failure) when a result cannot
  // be written.
  void run(const ipc::Json& request, const InputPicture& input, PictureOutput& output);

  // Runs work(), which is about the pictures of an input. Throws what fails, unless there are others. True: go on.
  template <typename Work>
  bool attempt(const std::string& input, std::size_t pictures, Work work) {
    try {
      work();
    } catch (const Error& problem) {
      if (!failed(input, pictures, problem)) throw;
    }
    return !stopped_;
  }

  // A line about a picture, which is made all the same.
  void notice(const std::string& line);

  ExitCode exit() const;

 private:
  using Clock = std::chrono::steady_clock;

  void run_one(const ipc::Json& request, const InputPicture& input, PictureOutput& output, int n);
  JobResult compute(const ipc::Json& request, const InputPicture& input);
  bool failed(const std::string& input, std::size_t pictures, const Error& problem);

  const config::Loaded& loaded_;
  const JobFlags& flags_;
  const Context& context_;
  TimeLimit limit_;
  std::optional<Progress> progress_;
  std::optional<Jobs> jobs_;
  Clock::time_point start_ = Clock::now();
  ipc::Json timings_ = ipc::Json::object();
  std::size_t expected_ = 1;
  std::size_t done_ = 0;
  std::size_t failed_ = 0;
  std::set<ErrorCode> why_;
  bool stopped_ = false;
};

// Throws Error(usage) when two things want standard output.
void check_standard_output(const PictureOutput& output, const Context& context);

}  // namespace step1x::cli
