// The worker's host arena (lib/README.md, Memory): one model's weights in RAM, held as a descriptor and never
// mapped, so that they outlive every engine. An engine asks for it by the model's key; whoever asks first with a new
// key is to fill it, and others wait for that. What a filler leaves unfinished is thrown away. Loop thread only, but
// for freeing, which takes as long as there are pages and so happens on a thread of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/fd.hpp"
#include "ipc/frame.hpp"

namespace step1x::worker {

class HostArena {
 public:
  struct Options {
    // What an arena may take, in bytes.
    std::function<std::uint64_t()> available;
    // Called from another thread when the memory of a dropped arena is free.
    std::function<void()> freed;
  };
  explicit HostArena(Options options) : options_(std::move(options)) {}

  struct Grant {
    int fd = -1;  // stays the arena's; -1: there is none, and refusal() says why
    bool filled = false;
  };
  // The arena of this key, for an engine that `who` stands for. One of another key is dropped for it. nullopt: somebody
  // else is filling it; ask again after filled() or filler_ended(). `most`: what a new one may take, whatever seems to
  // be available (a machine whose RAM grows as it is used tells too little); negative: what has to stay of that.
  std::optional<Grant> want(const void* who, const std::string& key, std::uint64_t bytes,
                            std::optional<std::int64_t> most = {});
  // Has one of another key, whole or not.
  bool is_another(const std::string& key) const { return fd_ && key != key_; }
  // There shall be none for the last model that was asked for.
  void refuse(const std::string& why);
  // Its filler says that it is whole. Throws Error(protocol) when there is none to fill, or it is not sealed.
  void filled(std::uint64_t huge_bytes);
  // Has ended, or has given up; nothing happens when it was not to fill it.
  void filler_ended(const void* who);
  void drop();
  // The same, and waits until the memory is free.
  void drop_and_wait();

  // The memory of one that was dropped is not all free yet.
  bool freeing() const { return *freeing_bytes_ > 0; }
  // A whole model is in it.
  bool holds_model() const { return fd_ && filled_; }
  // Why the last model that was asked for has none; empty: it has.
  const std::string& refusal() const { return refusal_; }
  // For `status`: null, or what there is.
  ipc::Json status() const;

 private:
  // Why an arena of this size may not be; empty: it may.
  std::string too_large(std::uint64_t bytes, std::optional<std::int64_t> most) const;

  Options options_;
  UniqueFd fd_;
  std::string key_;
  std::uint64_t huge_bytes_ = 0;
  bool filled_ = false;
  const void* filler_ = nullptr;
  std::string refusal_;
  std::shared_ptr<std::atomic<std::uint64_t>> freeing_bytes_ = std::make_shared<std::atomic<std::uint64_t>>(0);
  std::jthread freeing_;
};

}  // namespace step1x::worker
