#include "hub/cache.hpp"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>

#include "base/error.hpp"

namespace step1x {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kCommitDigits = 40;

bool is_letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool is_commit(std::string_view text) {
  return text.size() == kCommitDigits &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// Set and not empty.
std::optional<std::string> variable(const EnvironmentLookup& environment, const char* name) {
  std::optional<std::string> value = environment(name);
  if (value && value->empty()) value.reset();
  return value;
}

std::string home(const EnvironmentLookup& environment) {
  if (const auto value = variable(environment, "HOME")) return *value;
  std::array<char, 16384> buffer{};
  struct passwd entry{};
  struct passwd* found = nullptr;
  if (::getpwuid_r(::getuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    return found->pw_dir;
  }
  throw Error(ErrorCode::model_missing,
              "the hub cache cannot be found: HOME is not set; set HF_HUB_CACHE to the folder");
}

// A leading ~ and every $NAME or ${NAME}. What is not set stays as it is written, as in the hub's own library.
std::string expand(std::string text, const EnvironmentLookup& environment) {
  if (text == "~" || text.starts_with("~/")) text.replace(0, 1, home(environment));
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] != '$') {
      result += text[i++];
      continue;
    }
    const bool braces = text.substr(i + 1).starts_with('{');
    const std::size_t begin = i + (braces ? 2 : 1);
    std::size_t end = begin;
    while (end < text.size() && (is_letter_or_digit(text[end]) || text[end] == '_')) ++end;
    const bool closed = !braces || (end < text.size() && text[end] == '}');
    const std::size_t next = end + (braces && closed ? 1 : 0);
    const auto value = closed && end > begin ? environment(text.substr(begin, end - begin)) : std::nullopt;
    result += value ? *value : text.substr(i, next - i);
    i = next;
  }
  return result;
}

// A branch or tag as a path below refs/.
bool is_ref_name(std::string_view revision) {
  if (revision.empty() || revision.front() == '/' || revision.find('\0') != std::string_view::npos) return false;
  return std::ranges::none_of(fs::path(revision), [](const fs::path& part) { return part == ".." || part == "."; });
}

std::string repository_folder(std::string_view id) {
  std::string name = "models--";
  for (const char c : id) {
    if (c == '/') {
      name += "--";
    } else {
      name += c;
    }
  }
  return name;
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

// The commit that `file` names, or nothing.
std::optional<std::string> read_ref(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string commit(kCommitDigits + 1, '\0');
  in.read(commit.data(), static_cast<std::streamsize>(commit.size()));
  commit.resize(static_cast<std::size_t>(in.gcount()));
  // The hub's library writes no newline; people and scripts do.
  if (commit.ends_with('\n')) commit.pop_back();
  if (!is_commit(commit)) return std::nullopt;
  return commit;
}

}  // namespace

EnvironmentLookup process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

fs::path hub_cache_folder(const EnvironmentLookup& environment) {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const auto value = variable(environment, name)) return fs::absolute(expand(*value, environment));
  }
  if (const auto value = variable(environment, "HF_HOME"))
    return fs::absolute(fs::path(expand(*value, environment)) / "hub");
  const auto cache = variable(environment, "XDG_CACHE_HOME");
  const fs::path base = cache ? fs::path(expand(*cache, environment)) : fs::path(home(environment)) / ".cache";
  return fs::absolute(base / "huggingface" / "hub");
}

bool is_hub_id(std::string_view text) {
  constexpr std::size_t kMaxLength = 96;
  const auto is_part = [](std::string_view part) {
    const auto allowed = [](char c) { return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-'; };
    return !part.empty() && std::ranges::all_of(part, allowed) && part.front() != '.' && part.front() != '-' &&
           part.back() != '.' && part.back() != '-';
  };
  if (text.size() > kMaxLength || text.find("--") != std::string_view::npos ||
      text.find("..") != std::string_view::npos) {
    return false;
  }
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return is_part(text);
  return is_part(text.substr(0, slash)) && is_part(text.substr(slash + 1));
}

fs::path find_snapshot(const fs::path& cache, std::string_view id, std::string_view revision) {
  if (!is_hub_id(id)) {
    throw Error::format(ErrorCode::usage, "'{}' is not the name of a model on the hub: expected ORGANISATION/NAME", id);
  }
  if (!is_ref_name(revision)) {
    throw Error::format(ErrorCode::usage, "'{}' is not a revision of {}: expected a branch, a tag or a commit",
                        revision, id);
  }
  const fs::path repository = cache / repository_folder(id);
  if (!is_folder(repository)) {
    throw Error::format(ErrorCode::model_missing,
                        "{} is not in the hub cache {}; download it first, or set HF_HUB_CACHE to where it is", id,
                        cache.string());
  }
  std::string commit(revision);
  if (!is_commit(revision)) {
    const fs::path ref = repository / "refs" / revision;
    const auto found = read_ref(ref);
    if (!found) {
      throw Error::format(
          ErrorCode::model_missing,
          "revision '{}' of {} is not in the hub cache: {} does not name a commit; download that revision", revision,
          id, ref.string());
    }
    commit = *found;
  }
  const fs::path snapshot = repository / "snapshots" / commit;
  if (!is_folder(snapshot)) {
    throw Error::format(ErrorCode::model_missing, "commit {} of {} is not in the hub cache: {} is missing; download it",
                        commit, id, snapshot.string());
  }
  return snapshot;
}

}  // namespace step1x
