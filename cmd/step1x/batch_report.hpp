// What a batch's journal tells, without a worker: where it stands, whether its pictures are what they were, what the
// same command would do. All print to standard output.
#pragma once

#include <filesystem>

#include "batch/reader.hpp"
#include "commands.hpp"

namespace step1x::cli {

// --status DIR
ExitCode report_status(const std::filesystem::path& folder, const Context& context);
// --verify DIR: reads every picture of the journal. `partial` when one is not what it was, `failure` when none is.
ExitCode report_verify(const std::filesystem::path& folder, const Context& context);
// --prune DIR: removes the pictures that the last run has no more. Those that are not what was written stay: `partial`.
// Throws Error(busy) while a batch writes there.
ExitCode report_prune(const std::filesystem::path& folder, const Context& context);
// --merge DIR
ExitCode report_merge(const std::filesystem::path& folder, const Context& context);
// --dry-run
ExitCode report_dry_run(const std::vector<batch::Work>& works, const batch::JournalView& before,
                        const batch::Reader::Options& options, const Context& context);

}  // namespace step1x::cli
