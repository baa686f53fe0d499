// What can go wrong, under names that do not change: they travel in the protocol, in --json records and in the exit
// code. Error is thrown anywhere and caught at one place per process (main, or the worker's request handler).
// Its text is one line: what, why, and what to do next, with the values in it.
#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace step1x {

// Every exit code of every program. The table in step1x(1) lists the same.
enum class ExitCode {
  ok = 0,
  failure = 1,        // anything without a code of its own
  usage = 2,          // flags, configuration, a prompt that the model cannot take
  partial = 3,        // a batch in which some items failed
  model_missing = 4,  // no model, or its files are damaged
  out_of_memory = 5,  // on the device
  bad_image = 6,      // the input cannot be decoded, or is over a limit
  busy = 75,          // EX_TEMPFAIL: busy or timed out, try again later
  interrupted = 130,  // SIGINT
};

enum class ErrorCode {
  failure,           // no more specific code fits
  usage,             // a flag, a configuration key, a request field
  model_missing,     // see ExitCode
  out_of_memory,     // on the device
  bad_image,         // input picture
  bad_prompt,        // longer than the model takes, or with one of its markers
  busy,              // refused because of other work: queue full, offload during a job
  timeout,           // --timeout ran out
  cancelled,         // by its client
  engine_died,       // twice in the same job
  worker_failed,     // the worker cannot be started, or went away
  version_mismatch,  // the other side speaks another protocol, or is another build
  protocol,          // the other side broke the protocol
};

std::string_view name(ErrorCode code);
std::optional<ErrorCode> error_code(std::string_view name);
ExitCode exit_code(ErrorCode code);
// True when the same command may succeed later without being changed.
bool retryable(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}

  template <typename... Args>
  static Error format(ErrorCode code, fmt::format_string<Args...> text, Args&&... args) {
    return Error(code, fmt::format(text, std::forward<Args>(args)...));
  }

  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// strerror(errno_value), thread-safe.
std::string errno_text(int errno_value = errno);

}  // namespace step1x
