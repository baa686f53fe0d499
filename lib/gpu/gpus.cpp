#include "gpu/gpus.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "base/error.hpp"

namespace step1x {
namespace {

std::optional<std::size_t> number(std::string_view text) {
  std::size_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The only one whose UUID begins so.
std::optional<std::size_t> by_uuid(const std::vector<Gpu>& gpus, std::string_view beginning) {
  const auto fits = [&](const Gpu& gpu) { return gpu.uuid.starts_with(beginning); };
  if (beginning.empty() || std::ranges::count_if(gpus, fits) != 1) return std::nullopt;
  return static_cast<std::size_t>(std::ranges::find_if(gpus, fits) - gpus.begin());
}

// One for each entry; nothing for one that fits none, or not one alone.
std::vector<std::optional<std::size_t>> entries(const std::vector<Gpu>& all, std::string_view visible) {
  std::vector<std::optional<std::size_t>> result;
  for (std::size_t at = 0; at <= visible.size();) {
    const std::string_view entry = visible.substr(at, visible.find(',', at) - at);
    std::optional<std::size_t> index = number(entry) ? number(entry) : by_uuid(all, entry);
    if (index && *index >= all.size()) index.reset();
    result.push_back(index);
    at += entry.size() + 1;
  }
  return result;
}

bool comes_twice(const std::vector<std::optional<std::size_t>>& list) {
  return std::ranges::any_of(list, [&](const auto& entry) { return entry && std::ranges::count(list, entry) > 1; });
}

std::string names(const std::vector<Gpu>& gpus) {
  std::string text;
  for (std::size_t i = 0; i < gpus.size(); ++i) {
    text += fmt::format(", cuda:{}", i);
    if (!gpus[i].uuid.empty()) text += fmt::format(" ({})", gpus[i].uuid);
  }
  return text;
}

}  // namespace

std::vector<Gpu> visible_gpus(const std::vector<Gpu>& all, const std::string& visible) {
  if (visible.empty()) return all;
  const auto list = entries(all, visible);
  if (comes_twice(list)) return {};
  std::vector<Gpu> result;
  for (const std::optional<std::size_t>& entry : list) {
    if (!entry) break;
    result.push_back(all[*entry]);
  }
  return result;
}

std::vector<Gpu> container_gpus(const std::vector<Gpu>& all, const std::string& visible) {
  if (visible == "none" || visible == "void") return {};
  const auto list = entries(all, visible);
  const bool whole = std::ranges::all_of(list, [](const auto& entry) { return entry.has_value(); });
  return whole && !comes_twice(list) ? visible_gpus(all, visible) : all;
}

std::vector<Gpu> allowed_gpus(const std::vector<Gpu>& all, const std::string& cuda, const std::string& container) {
  return cuda.empty() ? container_gpus(all, container) : visible_gpus(all, cuda);
}

bool leaves_choice(const std::string& name) {
  return name == "auto" || name == "cuda";
}

std::size_t choose_gpu(const std::vector<Gpu>& gpus, const std::string& name) {
  if (leaves_choice(name))
    return static_cast<std::size_t>(std::ranges::max_element(gpus, {}, &Gpu::free_bytes) - gpus.begin());
  constexpr std::string_view kPrefix = "cuda:";
  std::optional<std::size_t> index;
  if (name.starts_with(kPrefix)) index = number(std::string_view(name).substr(kPrefix.size()));
  if (name.starts_with("GPU-")) index = by_uuid(gpus, name);
  if (!index || *index >= gpus.size())
    throw Error::format(ErrorCode::usage, "--device {}: there are auto, cpu{}", name, names(gpus));
  return *index;
}

}  // namespace step1x
