// Reads past the page cache (O_DIRECT), for files so large that they would push everything else out of it and not stay
// there themselves. What is in the cache already is taken from there. Const after construction; any number of threads
// may read at once, each with a buffer of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "base/fd.hpp"

namespace step1x {

class DirectReader {
 public:
  // Aligned as devices want it.
  class Buffer {
   public:
    Buffer();
    std::span<std::byte> bytes() const { return {memory_.get(), kBytes}; }
    static constexpr std::size_t kBytes = std::size_t{2} << 20;

   private:
    struct Free {
      void operator()(std::byte* memory) const;
    };
    std::unique_ptr<std::byte, Free> memory_;
  };

  // Of the file behind `fd`, which outlives it.
  explicit DirectReader(int fd);

  // The file system can do it.
  bool possible() const { return static_cast<bool>(direct_); }
  // As read_exactly(), which does it where this is not possible.
  void read(std::uint64_t offset, std::span<std::byte> out, Buffer& buffer, const std::filesystem::path& file,
            std::string_view what) const;

 private:
  bool cached(std::uint64_t offset) const;

  int fd_;
  UniqueFd direct_;
  UniqueFd probe_;
};

}  // namespace step1x
