// Writes a whole file so that whoever looks sees the old file or the new one and nothing else, even after kill -9 or a
// power cut. It is not for logs or journals, which append.
//
// The bytes go into a file without a name (O_TMPFILE) in the target's directory, are fsynced, and only then get a name;
// so a process killed by SIGKILL leaves nothing behind but, where an old file is replaced, between two adjacent calls,
// one whole hidden file ".NAME.XXXXXXXX.tmp". File systems that have no O_TMPFILE or no hard links get the hidden file
// from the start. While there is a hidden file, SIGINT, SIGTERM, SIGHUP and SIGALRM wait.
//
// Replace::always: a symbolic link at the target stays, and what it points to is replaced. A device, fifo, socket or
// /proc/self/fd/N (so /dev/stdout) is written to directly, where "atomically" has no meaning. The old file's mode and,
// where permitted, its owner are kept; a file that the caller may not write is not replaced.
// Replace::never: any directory entry of that name, a dangling link too, makes it throw FileExists. New files get
// 0666 & ~umask.
//
// Any thread. Errors: Error(failure), one line with the path, the step that failed and the system's reason.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "base/error.hpp"

namespace step1x {

enum class Replace { never, always };

// Thrown for Replace::never only, so that the caller can go on with the next free name.
class FileExists : public Error {
 public:
  explicit FileExists(const std::string& message) : Error(ErrorCode::failure, message) {}
};

// The place takes no file at all, whatever is in it: it is full, over its quota, read-only, or fails.
class PlaceRefuses : public Error {
 public:
  explicit PlaceRefuses(const std::string& message) : Error(ErrorCode::failure, message) {}
};
// Whether a system call that failed so would throw it: ENOSPC, EDQUOT, EROFS, EIO.
bool refuses_every_file(int error);

// Throws what write_file_atomically() would at once: no such folder, a link into none, a file or folder that may not be
// written, a name too long. For before the work whose result it is.
void check_can_write(const std::filesystem::path& path, Replace replace);

// Throws where no file can be made in the folder, as far as that shows without making one.
void check_can_make_files(const std::filesystem::path& folder);

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes, Replace replace);

}  // namespace step1x
