#include "nn/placement.hpp"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <span>
#include <thread>

#include "memory/alignment.hpp"
#include "memory/arena.hpp"
#include "nn/stored_type.hpp"
#include "weights/direct_read.hpp"

namespace step1x {

namespace {

// Of a file at a time: large enough for full speed, small enough for all threads to end together.
constexpr std::uint64_t kChunk = std::uint64_t{8} << 20;
// Below libtorch's grain, at which it would start threads of its own within each of ours.
constexpr std::int64_t kConverted = 32'000;

// "double_blocks.3" of "double_blocks.3.img_attn.qkv.weight"; empty where there is no number.
std::string_view block_name(std::string_view tensor) {
  const auto digit = tensor.find_first_of("0123456789");
  return digit == std::string_view::npos ? "" : tensor.substr(0, tensor.find('.', digit));
}

std::uint64_t plan_bytes(const TensorPlan& plan, at::ScalarType type) {
  return static_cast<std::uint64_t>(c10::multiply_integers(plan.shape)) * c10::elementSize(type);
}

unsigned reading_threads() {
  // More than there are processors, where those are few: a disk wants several requests at a time.
  return std::clamp(std::thread::hardware_concurrency(), 4U, 32U);
}

}  // namespace

// Elements that lie together in a file and will lie together in memory.
struct Placement::Chunk {
  std::size_t block = 0;
  const SafetensorsFile* file = nullptr;
  const TensorInfo* tensor = nullptr;
  std::uint64_t file_offset = 0;
  std::uint64_t out = 0;  // from where the first block begins
  std::int64_t elements = 0;
  at::ScalarType stored = at::kByte;

  std::uint64_t bytes_out(at::ScalarType type) const {
    return static_cast<std::uint64_t>(elements) * c10::elementSize(type);
  }

  // `staging` is what elements of another type are read into. `direct`: none, or past the page cache.
  void read(std::byte* start, at::ScalarType type, std::vector<std::byte>& staging, const DirectReader* direct,
            DirectReader::Buffer& buffer) const {
    const std::size_t bytes = static_cast<std::size_t>(elements) * c10::elementSize(stored);
    if (stored != type) staging.resize(bytes);
    const std::span to_fill = stored == type ? std::span(start + out, bytes) : std::span(staging);
    const std::string what = "tensor " + quote_name(tensor->name);
    if (direct != nullptr) {
      direct->read(file_offset, to_fill, buffer, file->path(), what);
    } else {
      read_exactly(file->fd(), file_offset, to_fill, file->path(), what);
    }
    if (stored == type) return;
    const at::Tensor from = at::from_blob(staging.data(), {elements}, stored);
    const at::Tensor to = at::from_blob(start + out, {elements}, type);
    for (std::int64_t at = 0; at < elements; at += kConverted) {
      const std::int64_t count = std::min(kConverted, elements - at);
      to.narrow(0, at, count).copy_(from.narrow(0, at, count));
    }
  }
};

// Has the memory of chunks prepared, each range of it once, by the thread that comes to it first: what is prepared by
// one is filled by others meanwhile.
class Placement::Preparation {
 public:
  Preparation(std::uint64_t begin, std::uint64_t end, const Hooks& hooks)
      : begin_(begin), end_(end), hooks_(hooks), done_((end - begin + kPreparedAtOnce - 1) / kPreparedAtOnce) {}

  // Bytes from the beginning. Any thread; returns when they are ready.
  void need(std::uint64_t offset, std::uint64_t bytes) {
    if (!hooks_.prepare) return;
    for (std::uint64_t i = offset / kPreparedAtOnce; i <= (offset + bytes - 1) / kPreparedAtOnce; ++i) {
      const std::uint64_t at = begin_ + i * kPreparedAtOnce;
      std::call_once(done_.at(i), [&] { hooks_.prepare(at, std::min(kPreparedAtOnce, end_ - at)); });
    }
  }

 private:
  std::uint64_t begin_;
  std::uint64_t end_;
  const Hooks& hooks_;
  std::vector<std::once_flag> done_;
};

Placement::Placement(const LoadTable& table, at::ScalarType type) : table_(&table), type_(type) {
  for (std::size_t i = 0; i < table.size();) {
    Block block;
    block.first_tensor = i;
    const std::string_view name = block_name(table[i].name);
    block.name = name;
    std::vector<std::uint64_t> within;
    for (; i < table.size() && block_name(table[i].name) == name; ++i) {
      within.push_back(align_up(block.bytes, kTensorAlignment));
      block.bytes = within.back() + plan_bytes(table[i], type);
      tensor_bytes_ += plan_bytes(table[i], type);
    }
    block.tensors = within.size();
    block.offset = align_up(bytes_, block.bytes >= kHugePage ? kHugePage : kTensorAlignment);
    for (const std::uint64_t offset : within) offsets_.push_back(block.offset + offset);
    bytes_ = block.offset + block.bytes;
    blocks_.push_back(block);
  }
  bytes_ = align_up(bytes_, kHugePage);
}

std::vector<Placement::Chunk> Placement::chunks(const Checkpoint& checkpoint, std::size_t first,
                                                std::size_t count) const {
  std::vector<Chunk> all;
  const std::uint64_t start = blocks_[first].offset;
  for (std::size_t block = first; block < first + count; ++block) {
    for (std::size_t i = 0; i < blocks_[block].tensors; ++i) {
      const std::size_t tensor = blocks_[block].first_tensor + i;
      const TensorPlan& plan = (*table_)[tensor];
      const std::int64_t row_elements = c10::multiply_integers(plan.shape) / plan.shape.at(0);
      for (const TensorPart& part : plan.parts) {
        const Checkpoint::Entry& entry = checkpoint.at(part.source);
        Chunk chunk{block, entry.file, entry.tensor, 0, 0, 0, *stored_type(entry.tensor->dtype)};
        const auto stored_size = static_cast<std::int64_t>(c10::elementSize(chunk.stored));
        const auto size = static_cast<std::int64_t>(c10::elementSize(type_));
        const std::int64_t source_row = c10::multiply_integers(part.source_shape) / part.source_shape.at(0);
        const std::int64_t elements = part.rows * row_elements;
        const std::int64_t most = static_cast<std::int64_t>(kChunk) / stored_size;
        for (std::int64_t done = 0; done < elements; done += most) {
          chunk.elements = std::min(most, elements - done);
          chunk.file_offset =
              entry.tensor->offset + static_cast<std::uint64_t>((part.source_row * source_row + done) * stored_size);
          chunk.out = offsets_[tensor] - start + static_cast<std::uint64_t>((part.row * row_elements + done) * size);
          all.push_back(chunk);
        }
      }
    }
  }
  return all;
}

void Placement::fill(const Checkpoint& checkpoint, std::size_t first, std::size_t count, std::byte* out,
                     const Hooks& hooks, Cache cache) const {
  const std::vector<Chunk> work = chunks(checkpoint, first, count);
  std::map<const SafetensorsFile*, DirectReader> direct;
  for (const SafetensorsFile& file : checkpoint.files()) {
    if (cache == Cache::bypass) direct.emplace(&file, file.fd());
  }
  Preparation preparation(blocks_[first].offset,
                          first + count == blocks_.size() ? bytes_ : blocks_[first + count].offset, hooks);

  std::mutex mutex;  // guards the four below
  std::condition_variable progress;
  std::vector<std::size_t> left(count, 0);  // chunks, by block
  for (const Chunk& chunk : work) ++left[chunk.block - first];
  std::int64_t untold = 0;  // bytes
  std::exception_ptr problem;
  std::atomic<std::size_t> next{0};
  const auto read = [&] {
    std::vector<std::byte> staging;
    DirectReader::Buffer buffer;
    for (std::size_t i = next++; i < work.size(); i = next++) {
      std::exception_ptr failed;
      try {
        preparation.need(work[i].out, work[i].bytes_out(type_));
        const auto past = direct.find(work[i].file);
        work[i].read(out, type_, staging, past == direct.end() ? nullptr : &past->second, buffer);
      } catch (...) {
        failed = std::current_exception();
        next = work.size();
      }
      const std::lock_guard lock(mutex);
      if (failed && !problem) problem = failed;
      untold += static_cast<std::int64_t>(work[i].bytes_out(type_));
      --left[work[i].block - first];
      progress.notify_one();
    }
  };
  struct Threads : std::vector<std::jthread> {
    std::atomic<std::size_t>& next;
    std::size_t end;
    // Before they are joined, so that what a hook throws does not wait for the rest of the file.
    ~Threads() { next = end; }
  };
  Threads threads{{}, next, work.size()};
  for (std::size_t i = std::min<std::size_t>(reading_threads(), work.size()); i > 0; --i) threads.emplace_back(read);

  const auto tell = [&](std::unique_lock<std::mutex>& lock) {
    const std::int64_t bytes = std::exchange(untold, 0);
    lock.unlock();
    if (hooks.loaded) hooks.loaded(bytes);
    lock.lock();
  };
  std::unique_lock lock(mutex);
  for (std::size_t block = 0; block < count; ++block) {
    constexpr std::chrono::milliseconds kTurn{100};
    while (!progress.wait_for(lock, kTurn, [&] { return problem || left[block] == 0; })) tell(lock);
    if (problem) std::rethrow_exception(problem);
    tell(lock);
    lock.unlock();
    if (hooks.filled) hooks.filled(blocks_[first + block]);
    lock.lock();
  }
}

Weights Placement::weights(const std::vector<Place>& places, std::string origin) const {
  Weights::Tensors tensors;
  Weights::Streamed streamed;
  for (std::size_t block = 0; block < blocks_.size(); ++block) {
    const Block& range = blocks_[block];
    for (std::size_t i = range.first_tensor; i < range.first_tensor + range.tensors; ++i) {
      const TensorPlan& plan = (*table_)[i];
      const at::Tensor bytes = places.at(block).memory.narrow(0, static_cast<std::int64_t>(offsets_[i] - range.offset),
                                                              static_cast<std::int64_t>(plan_bytes(plan, type_)));
      tensors.emplace(plan.name, bytes.view(type_).view(plan.shape));
      if (places[block].streamed.ring) streamed.emplace(plan.name, places[block].streamed);
    }
  }
  return {std::move(tensors), std::move(origin), std::move(streamed)};
}

Weights Placement::weights(const at::Tensor& memory, std::string origin) const {
  std::vector<Place> places;
  places.reserve(blocks_.size());
  for (const Block& block : blocks_) {
    places.push_back(
        {memory.narrow(0, static_cast<std::int64_t>(block.offset), static_cast<std::int64_t>(block.bytes)), {}});
  }
  return weights(places, std::move(origin));
}

}  // namespace step1x
