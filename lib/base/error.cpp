#include "base/error.hpp"

#include <array>
#include <system_error>

namespace step1x {
namespace {

struct Row {
  ErrorCode code;
  std::string_view name;
  ExitCode exit;
  bool retryable;
};

constexpr std::array kRows{
    Row{ErrorCode::failure, "failure", ExitCode::failure, false},
    Row{ErrorCode::usage, "usage", ExitCode::usage, false},
    Row{ErrorCode::model_missing, "model_missing", ExitCode::model_missing, false},
    Row{ErrorCode::out_of_memory, "out_of_memory", ExitCode::out_of_memory, false},
    Row{ErrorCode::bad_image, "bad_image", ExitCode::bad_image, false},
    Row{ErrorCode::bad_prompt, "bad_prompt", ExitCode::usage, false},
    Row{ErrorCode::busy, "busy", ExitCode::busy, true},
    Row{ErrorCode::timeout, "timeout", ExitCode::busy, true},
    Row{ErrorCode::cancelled, "cancelled", ExitCode::interrupted, true},
    Row{ErrorCode::engine_died, "engine_died", ExitCode::failure, true},
    Row{ErrorCode::worker_failed, "worker_failed", ExitCode::failure, true},
    Row{ErrorCode::version_mismatch, "version_mismatch", ExitCode::busy, true},
    Row{ErrorCode::protocol, "protocol", ExitCode::failure, false},
};

constexpr const Row& row(ErrorCode code) {
  return kRows[static_cast<std::size_t>(code)];
}

constexpr bool in_order() {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i].code != static_cast<ErrorCode>(i)) return false;
  }
  return true;
}
static_assert(in_order());

}  // namespace

std::string_view name(ErrorCode code) {
  return row(code).name;
}

std::optional<ErrorCode> error_code(std::string_view name) {
  for (const Row& r : kRows) {
    if (r.name == name) return r.code;
  }
  return std::nullopt;
}

ExitCode exit_code(ErrorCode code) {
  return row(code).exit;
}

bool retryable(ErrorCode code) {
  return row(code).retryable;
}

std::string errno_text(int errno_value) {
  return std::generic_category().message(errno_value);
}

}  // namespace step1x
