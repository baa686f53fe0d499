// What a running job shows: a one-line bar on a terminal, NDJSON on request, or nothing. One thread.
#pragma once

#include <string>

#include "ipc/frame.hpp"

namespace step1x::cli {

class Progress {
 public:
  enum class Style { none, bar, ndjson };

  explicit Progress(Style style) : style_(style) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Of the flags and of where standard error leads.
  static Style choose(bool quiet, bool progress_json);

  // An event of protocol.md section 5; others than progress are ignored. `worker` events are the client's own.
  void show(const ipc::Json& event);
  // Where that is the style, a bar.
  void draw(const std::string& text, double fraction);
  // Takes the bar away.
  void clear();

 private:
  Style style_;
  bool drawn_ = false;
};

}  // namespace step1x::cli
