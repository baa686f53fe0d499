// Counts the memory of tensors from its construction on. One at a time, on the thread that computes.
#pragma once

#include <cstddef>
#include <memory>

namespace step1x::test {

class TensorMemory {
 public:
  TensorMemory();
  ~TensorMemory();
  // The most that was held at one time, in bytes; since the last restart().
  std::size_t peak() const;
  // What is held now.
  std::size_t now() const;
  void restart();

 private:
  struct Counter;
  std::shared_ptr<Counter> counter_;
};

}  // namespace step1x::test
