// The tensors of one part of a model (transformer, VAE, text encoder), whether they lie in one safetensors file or in
// shards with an index. Const after construction; any number of threads may read at once. Owns the open files.
//
// Nothing is read here but headers: that every shard is there, whole, and holds what the index says is known before the
// first byte of a weight is. Errors: Error(model_missing) with file, tensor, expected and found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weights/safetensors.hpp"

namespace step1x {

// A tensor that a model needs.
struct ExpectedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
};

class Checkpoint {
 public:
  // `path` is a .safetensors file, or an index that ends in .safetensors.index.json.
  explicit Checkpoint(const std::filesystem::path& path);

  struct Entry {
    const SafetensorsFile* file = nullptr;
    const TensorInfo* tensor = nullptr;
  };

  // What was opened: the file, or the index.
  const std::filesystem::path& path() const { return path_; }
  const std::vector<SafetensorsFile>& files() const { return files_; }
  // By name. Of shards, only what the index names.
  const std::map<std::string, Entry, std::less<>>& tensors() const { return tensors_; }

  // nullptr when there is none.
  const Entry* find(std::string_view name) const;
  const Entry& at(std::string_view name) const;
  // The same, and its shape must be this.
  const Entry& at(std::string_view name, std::span<const std::int64_t> shape) const;
  // Checks all at once, so that nothing is allocated for a model that cannot be loaded.
  void expect(std::span<const ExpectedTensor> tensors) const;

  // Fills `out`, whose size must be the tensor's.
  void read(std::string_view name, std::span<std::byte> out) const;

 private:
  void open_shards();
  void add(const SafetensorsFile& file, const TensorInfo& tensor);

  std::filesystem::path path_;
  std::vector<SafetensorsFile> files_;  // never grows after construction: entries point into it
  std::map<std::string, Entry, std::less<>> tensors_;
};

}  // namespace step1x
