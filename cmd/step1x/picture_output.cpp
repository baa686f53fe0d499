#include "picture_output.hpp"

#include <unistd.h>

#include <algorithm>

#include "base/atomic_file.hpp"
#include "base/error.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

namespace fs = std::filesystem;

image::Format parse_format(const fs::path& named, const std::string& what) {
  if (const auto format = image::format_from_extension(named)) return *format;
  throw Error::format(ErrorCode::usage, "{}: no picture format is called that; there are {}", what,
                      image::supported_formats());
}

void check_place(const fs::path& path, Replace replace) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code problem;
  if (!fs::is_directory(folder, problem)) {
    throw Error::format(ErrorCode::usage, "--output {}: the folder {} does not exist; make it first", path.string(),
                        folder.string());
  }
  try {
    check_can_write(path, replace);
  } catch (const Error& why) {
    throw Error::format(ErrorCode::usage, "--output: {}", why.what());
  }
}

// A device or a pipe has no names beside it for the others.
void check_numbered(const fs::path& path, int count) {
  std::error_code ignored;
  if (fs::exists(path, ignored) && !fs::is_regular_file(path, ignored))
    throw Error::format(ErrorCode::usage, "--output {}: that is no file, and takes no --count {}", path.string(),
                        count);
  for (int n = 2; n <= count; ++n) check_place(numbered(path, n), Replace::always);
}

}  // namespace

fs::path numbered(const fs::path& path, int n) {
  if (n == 1) return path;
  fs::path result = path;
  result.replace_filename(fmt::format("{}-{}{}", path.stem().string(), n, path.extension().string()));
  return result;
}

void check_quality(const std::optional<int>& quality, image::Format format) {
  if (!quality || image::default_quality(format)) return;
  throw Error::format(ErrorCode::usage,
                      "--quality {}: a {} picture has no quality to choose; --format jpeg, webp, avif and heic have",
                      *quality, image::name(format));
}

std::optional<fs::path> output_folder(const std::optional<std::string>& output) {
  if (!output || output == "-") return std::nullopt;
  std::error_code problem;
  fs::path folder = *output;
  if (fs::is_directory(folder, problem)) return folder;
  if (!output->ends_with('/')) return std::nullopt;
  fs::create_directories(folder, problem);
  if (problem)
    throw Error::format(ErrorCode::usage, "--output {}: cannot make that folder: {}", *output, problem.message());
  return folder;
}

PictureOutput::PictureOutput(const fs::path& unnamed, const std::optional<std::string>& output,
                             const std::optional<std::string>& format, int count) {
  if (format) format_ = parse_format("x." + *format, "--format " + *format);
  if (output == "-") {
    if (count > 1)
      throw Error::format(ErrorCode::usage,
                          "--output -: standard output takes one picture, and --count {} are asked for", count);
    if (::isatty(STDOUT_FILENO) == 1)
      throw Error(ErrorCode::usage, "--output -: standard output is a terminal; send it to a file or a pipe");
    return;
  }
  replace_ = output.has_value();
  if (output) {
    if (output->empty()) throw Error(ErrorCode::usage, "--output: the name is empty");
    path_ = *output;
    if (!format && path_.has_extension()) format_ = parse_format(path_, "--output " + path_.string());
  } else {
    path_ = unnamed;
    path_ += fmt::format(".{}", format.value_or("png"));
  }
  check_place(path_, replace_ ? Replace::always : Replace::never);
  if (replace_ && count > 1) check_numbered(path_, count);
}

void PictureOutput::check_sides(int width, int height) const {
  image::check_sides(format_, width, height);
}

std::string PictureOutput::write(std::span<const std::byte> bytes, int n) {
  if (is_stdout()) {
    print(bytes);
    return "-";
  }
  if (replace_) {
    const fs::path path = numbered(path_, n);
    write_file_atomically(path, bytes, Replace::always);
    return path.string();
  }
  constexpr int kMostNames = 10'000;
  for (next_ = std::max(next_, n); next_ <= kMostNames;) {
    const fs::path path = numbered(path_, next_++);
    try {
      write_file_atomically(path, bytes, Replace::never);
      return path.string();
    } catch (const FileExists&) {
      // The next name, then.
    }
  }
  throw Error::format(ErrorCode::failure, "{} and {} more names are taken; give one with -o", path_.string(),
                      kMostNames - 1);
}

}  // namespace step1x::cli
