// What a batch shows while it runs and when it ends: a bar on a terminal, NDJSON on request, a line for each item with
// -v, and of failures always one. Nothing else, so that cron has nothing to send. One thread.
#pragma once

#include "batch_run.hpp"
#include "commands.hpp"
#include "progress.hpp"

namespace step1x::cli {

class BatchView : public BatchEvents {
 public:
  BatchView(const Context& context, bool progress_json);

  void progress(const batch::Work& work, const ipc::Json& event) override;
  void done(const batch::Work& work, double seconds, const BatchTally& tally) override;
  void failed(const batch::Work& work, const Error& problem, const BatchTally& tally) override;
  void notice(const std::string& line) override;

  // On standard error for people, and with --json as the one record on standard output.
  void end(const BatchTally& tally, const std::filesystem::path& folder);

 private:
  void draw(const BatchTally& tally);

  const Context& context_;
  Progress::Style style_;
  Progress bar_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// "12 done, 1 failed, 30 there already", of what there is any.
std::string in_words(const BatchTally& tally);

}  // namespace step1x::cli
