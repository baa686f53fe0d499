// Pictures as they travel (ipc/protocol.md, section 2): a sealed memfd of width * height * 3 bytes, 8-bit sRGB. Not
// thread-safe.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <cstddef>
#include <span>

#include "base/fd.hpp"

namespace step1x::ipc {

inline constexpr int kMaxSide = 65'535;
inline constexpr std::size_t kMaxPixels = 268'435'456;

// A new picture to be filled by its maker: write through pixels(), then seal() hands over the descriptor.
class PictureWriter {
 public:
  // Throws Error(failure) when there is no memory for it.
  PictureWriter(int width, int height);

  std::span<std::byte> pixels();
  // Unmaps, adds the seals, and returns the descriptor. The writer is empty afterwards.
  UniqueFd seal();

 private:
  UniqueFd fd_;
  boost::interprocess::mapped_region region_;
};

// A received picture, mapped read-only.
class PictureView {
 public:
  // Throws Error(protocol) unless fd is a memfd with the seals and exactly this size.
  PictureView(int fd, int width, int height);

  std::span<const std::byte> pixels() const;

 private:
  boost::interprocess::mapped_region region_;
};

}  // namespace step1x::ipc
