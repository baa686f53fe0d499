// One safetensors file: its tensors' names, types, shapes and places, checked before any of it is believed, and reads
// of their bytes. Not a tensor library: the bytes are handed out as stored, in whatever type the file has.
//
// Reads are pread into the caller's memory, never a mapping: a file truncated while it is mapped reads as zeros or
// kills the process. Const after construction; any number of threads may read at once. Move-only (owns the descriptor).
// Every error is Error(model_missing) and names the file and, where there is one, the tensor.
//
// What is accepted is a subset of what the format's reference reader accepts in read_metadata and validate: besides its
// rules, the header must begin with '{' and have no duplicate key at any depth.
// https://github.com/huggingface/safetensors/blob/aa6c43d72986/safetensors/src/tensor.rs
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "weights/dtype.hpp"

namespace step1x {

struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::u8;
  std::vector<std::int64_t> shape;  // empty: a scalar
  std::uint64_t offset = 0;         // of the first byte, from the start of the file
  std::uint64_t bytes = 0;
};

// "[640, 3584]", for messages.
std::string format_shape(std::span<const std::int64_t> shape);
// A name out of a file as messages show it: quoted, cut, and on one line.
std::string quote_name(std::string_view name);

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  // by offset
  std::map<std::string, std::string, std::less<>> metadata;
};

inline constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

// The header's length from the first 8 bytes of a file of `file_bytes` bytes. `file` is for messages.
std::uint64_t check_header_length(std::span<const std::byte> first_bytes, std::uint64_t file_bytes,
                                  std::string_view file);
// Parses and checks the header itself (what follows the first 8 bytes).
SafetensorsHeader parse_header(std::string_view header, std::uint64_t file_bytes, std::string_view file);

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t file_bytes() const { return file_bytes_; }
  // For readers with methods of their own (large parallel reads). Stays owned by this object.
  int fd() const { return fd_.get(); }

  const std::vector<TensorInfo>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string, std::less<>>& metadata() const { return header_.metadata; }
  const TensorInfo* find(std::string_view name) const;
  const TensorInfo& at(std::string_view name) const;

  // Fills `out`, whose size must be the tensor's.
  void read(const TensorInfo& tensor, std::span<std::byte> out) const;

 private:
  std::filesystem::path path_;
  UniqueFd fd_;
  std::uint64_t file_bytes_ = 0;
  SafetensorsHeader header_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
};

// Reads exactly out.size() bytes at `offset`. `what` stands in messages for what is being read.
void read_exactly(int fd, std::uint64_t offset, std::span<std::byte> out, const std::filesystem::path& file,
                  std::string_view what);

}  // namespace step1x
