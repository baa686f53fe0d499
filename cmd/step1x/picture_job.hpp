// A job from request to written picture: what `edit` and `generate` have in common once they know what to ask for.
#pragma once

#include <chrono>
#include <string>

#include "commands.hpp"
#include "config/config.hpp"
#include "ipc/frame.hpp"
#include "job_flags.hpp"
#include "picture_input.hpp"
#include "picture_output.hpp"

namespace step1x::cli {

class PictureJob {
 public:
  PictureJob(const config::Loaded& loaded, const JobFlags& flags, const Context& context)
      : loaded_(loaded), flags_(flags), context_(context) {}

  // Seconds since construction, under a name of the record's `timings`.
  void note(const char* name);
  // Sends the request with `input`, which may be none (InputPicture{}), writes the result to `output`, and prints path
  // or record. Throws Error as run_job() does, and Error(failure) when the result cannot be written.
  void run(const ipc::Json& request, const InputPicture& input, const PictureOutput& output);

 private:
  using Clock = std::chrono::steady_clock;

  const config::Loaded& loaded_;
  const JobFlags& flags_;
  const Context& context_;
  Clock::time_point start_ = Clock::now();
  ipc::Json timings_ = ipc::Json::object();
};

// Throws Error(usage) when two things want standard output.
void check_standard_output(const PictureOutput& output, const Context& context);

}  // namespace step1x::cli
