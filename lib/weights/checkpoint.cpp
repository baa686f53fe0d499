#include "weights/checkpoint.hpp"

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "weights/json_file.hpp"

namespace step1x {

namespace {

constexpr std::string_view kIndexEnding = ".safetensors.index.json";

// A shard lies beside its index: a name that leads elsewhere is refused.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

}  // namespace

Checkpoint::Checkpoint(const std::filesystem::path& path) : path_(path) {
  if (path.filename().string().ends_with(kIndexEnding)) {
    open_shards();
    return;
  }
  files_.emplace_back(path);
  for (const TensorInfo& tensor : files_.front().tensors()) add(files_.front(), tensor);
}

void Checkpoint::open_shards() {
  const nlohmann::json index = read_json_object(path_);
  const auto fail = [&](const std::string& reason) {
    throw Error::format(ErrorCode::model_missing, "{}: not a valid index: {}", path_.string(), reason);
  };
  const auto found = index.find("weight_map");
  if (found == index.end() || !found->is_object() || found->empty()) fail("no 'weight_map'");

  std::set<std::string> names;
  for (const auto& [tensor, shard] : found->items()) {
    if (!shard.is_string() || !is_plain_name(shard.get_ref<const std::string&>())) {
      fail(fmt::format("tensor {} is in {}, which is not the name of a file beside it", quote_name(tensor),
                       brief(shard)));
    }
    names.insert(shard.get<std::string>());
  }
  const std::filesystem::path folder = path_.parent_path();
  std::vector<std::string> missing;
  std::ranges::copy_if(names, std::back_inserter(missing),
                       [&](const std::string& name) { return !std::filesystem::exists(folder / name); });
  if (!missing.empty()) {
    throw Error::format(ErrorCode::model_missing, "{}: shard is missing{}: {} names {} files; download the rest",
                        (folder / missing.front()).string(),
                        missing.size() > 1 ? fmt::format(" (and {} more)", missing.size() - 1) : "",
                        path_.filename().string(), names.size());
  }

  files_.reserve(names.size());
  std::map<std::string, const SafetensorsFile*> by_name;
  for (const std::string& name : names) by_name[name] = &files_.emplace_back(folder / name);
  for (const auto& [tensor, shard] : found->items()) {
    const SafetensorsFile& file = *by_name.at(shard.get<std::string>());
    const TensorInfo* info = file.find(tensor);
    if (info == nullptr) {
      throw Error::format(ErrorCode::model_missing, "{}: tensor {} is missing, which {} says is there",
                          file.path().string(), quote_name(tensor), path_.filename().string());
    }
    add(file, *info);
  }
}

void Checkpoint::add(const SafetensorsFile& file, const TensorInfo& tensor) {
  tensors_.emplace(tensor.name, Entry{&file, &tensor});
}

const Checkpoint::Entry* Checkpoint::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const Checkpoint::Entry& Checkpoint::at(std::string_view name) const {
  if (const Entry* found = find(name)) return *found;
  throw Error::format(ErrorCode::model_missing, "{}: tensor {} is missing", path_.string(), quote_name(name));
}

const Checkpoint::Entry& Checkpoint::at(std::string_view name, std::span<const std::int64_t> shape) const {
  const Entry& entry = at(name);
  if (!std::ranges::equal(entry.tensor->shape, shape)) {
    throw Error::format(ErrorCode::model_missing, "{}: tensor {} has shape {}, expected {}",
                        entry.file->path().string(), quote_name(name), format_shape(entry.tensor->shape),
                        format_shape(shape));
  }
  return entry;
}

void Checkpoint::expect(std::span<const ExpectedTensor> tensors) const {
  std::vector<std::string_view> missing;
  for (const ExpectedTensor& each : tensors) {
    if (find(each.name) == nullptr) {
      missing.push_back(each.name);
    } else {
      at(each.name, each.shape);
    }
  }
  if (missing.empty()) return;
  const auto first = std::ranges::find(tensors, missing.front(), &ExpectedTensor::name);
  throw Error::format(ErrorCode::model_missing, "{}: tensor {} of shape {} is missing{}: {} tensors expected, {} found",
                      path_.string(), quote_name(missing.front()), format_shape(first->shape),
                      missing.size() > 1 ? fmt::format(" (and {} more)", missing.size() - 1) : "", tensors.size(),
                      tensors.size() - missing.size());
}

void Checkpoint::read(std::string_view name, std::span<std::byte> out) const {
  const Entry& entry = at(name);
  entry.file->read(*entry.tensor, out);
}

}  // namespace step1x
