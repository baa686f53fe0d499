// The worker's log: lines on descriptor 2, which the client that spawned the worker has opened on worker.log (the only
// writer; engines log through the worker). In a client nothing is logged: it speaks to its user. Thread-safe. Prompts
// and paths only at level debug.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>

namespace step1x::log {

enum class Level { debug, info, warn, error };

// One line; its line breaks are folded.
void write(Level level, const std::string& line);
bool enabled(Level level);

template <typename... Args>
void debug(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(Level::debug)) write(Level::debug, fmt::format(text, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::info, fmt::format(text, std::forward<Args>(args)...));
}
template <typename... Args>
void warn(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::warn, fmt::format(text, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::error, fmt::format(text, std::forward<Args>(args)...));
}

// Sets up format and level. When the file has grown over max_bytes, `rotate` is called (on the logging thread) to put a
// new file behind descriptor 2.
void start(bool debug_level, std::size_t max_bytes, std::function<void()> rotate);

}  // namespace step1x::log
