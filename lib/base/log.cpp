#include "base/log.hpp"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <mutex>

#include "base/process.hpp"

namespace step1x::log {
namespace {

class DescriptorSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  DescriptorSink(std::size_t max_bytes, std::function<void()> rotate)
      : max_bytes_(max_bytes), rotate_(std::move(rotate)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    struct stat info{};
    if (::fstat(STDERR_FILENO, &info) == 0 && S_ISREG(info.st_mode) &&
        static_cast<std::size_t>(info.st_size) + line.size() > max_bytes_)
      rotate_();
    // A log that cannot be written must not stop the work.
    [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, line.data(), line.size());
  }
  void flush_() override {}

 private:
  std::size_t max_bytes_;
  std::function<void()> rotate_;
};

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warn:
      return spdlog::level::warn;
    case Level::error:
      break;
  }
  return spdlog::level::err;
}

}  // namespace

void write(Level level, const std::string& line) {
  // Of what somebody sends no more is kept than shows what it was.
  constexpr std::size_t kLongest = 2000;
  const bool cut = line.size() > kLongest;
  spdlog::default_logger_raw()->log(to_spdlog(level), one_line(line.substr(0, kLongest)) + (cut ? " ..." : ""));
}

bool enabled(Level level) {
  return spdlog::default_logger_raw()->should_log(to_spdlog(level));
}

void start(bool debug_level, std::size_t max_bytes, std::function<void()> rotate) {
  auto logger =
      std::make_shared<spdlog::logger>("step1x", std::make_shared<DescriptorSink>(max_bytes, std::move(rotate)));
  logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %P %l %v");
  logger->set_level(debug_level ? spdlog::level::debug : spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace step1x::log
