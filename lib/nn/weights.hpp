// The named tensors of one part of a model, in memory, and how they get there from a checkpoint. Const after
// construction; any number of threads may read at once. Tensors are shared, not copied.
//
// Checkpoints name and cut the same tensors in different ways. A LoadTable says, for every tensor that the model code
// asks for, from which rows of which tensors of the checkpoint it is put together; whoever places weights elsewhere (a
// host arena) can read the same table. Errors: Error(model_missing) with file, tensor, expected and found.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "device/block_ring.hpp"
#include "nn/aten.hpp"
#include "weights/checkpoint.hpp"

namespace step1x {

class Weights {
 public:
  using Tensors = std::map<std::string, at::Tensor, std::less<>>;
  // Of the tensors that are not always in place, the block that must be in use while one is read.
  using Streamed = std::map<std::string, StreamedBlock, std::less<>>;

  // `origin` names where they came from, for messages.
  Weights(Tensors tensors, std::string origin, Streamed streamed = {})
      : tensors_(std::move(tensors)), origin_(std::move(origin)), streamed_(std::move(streamed)) {}

  const at::Tensor& at(std::string_view name, at::IntArrayRef shape) const;
  // nullptr when there is none.
  const at::Tensor* find(std::string_view name) const;
  // Of no ring for a tensor that stays in place.
  StreamedBlock streamed(std::string_view name) const;
  const Tensors& tensors() const { return tensors_; }
  const std::string& origin() const { return origin_; }

 private:
  Tensors tensors_;
  std::string origin_;
  Streamed streamed_;
};

// Rows (along dimension 0) of a checkpoint's tensor that become rows of a tensor of the model.
struct TensorPart {
  std::string source;
  std::vector<std::int64_t> source_shape;
  std::int64_t source_row = 0;
  std::int64_t row = 0;
  std::int64_t rows = 0;
};

// A tensor of the model. Its parts cover it; a part's rows may have another shape with as many elements.
struct TensorPlan {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<TensorPart> parts;
};

using LoadTable = std::vector<TensorPlan>;

// A tensor that is one whole tensor of the checkpoint.
TensorPlan whole_tensor(std::string name, std::vector<std::int64_t> shape, std::string source);

// That the checkpoint has every part in its shape and in a type that can be read as numbers.
void check_weights(const Checkpoint& checkpoint, const LoadTable& table);

// Called every now and then with the bytes that came into place since the last time. What it throws ends the loading.
using LoadHook = std::function<void(std::int64_t bytes)>;

// Checks, then reads into memory of this process, as `type`: bf16, f16, f32, f64 and fp8 (e4m3) are converted. From
// there they go to `device` as a whole.
Weights load_weights(const Checkpoint& checkpoint, const LoadTable& table, at::ScalarType type,
                     const LoadHook& loaded = {}, at::Device device = at::kCPU);

// What a table's tensors take in memory, in bytes.
std::int64_t weights_bytes(const LoadTable& table, at::ScalarType dtype);

}  // namespace step1x
