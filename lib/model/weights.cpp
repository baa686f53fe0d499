#include "model/weights.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>

#include "base/error.hpp"

namespace step1x {

namespace {

std::span<const std::int64_t> as_span(at::IntArrayRef shape) {
  return {shape.data(), shape.size()};
}

std::optional<at::ScalarType> scalar_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::bf16:
      return at::kBFloat16;
    case Dtype::f16:
      return at::kHalf;
    case Dtype::f32:
      return at::kFloat;
    case Dtype::f64:
      return at::kDouble;
    case Dtype::f8_e4m3:
      return at::kFloat8_e4m3fn;
    default:
      return std::nullopt;
  }
}

// The bytes of a contiguous tensor on the CPU.
std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes()};
}

// A tensor as it is stored. `staging` is what it is read into, made larger where it must be: with memory of its own for
// every tensor, the holes between the converted ones took a tenth of the weights again.
at::Tensor read_tensor(const Checkpoint& checkpoint, const std::string& name, at::Tensor& staging) {
  const TensorInfo& info = *checkpoint.at(name).tensor;
  const at::ScalarType type = *scalar_type(info.dtype);
  const std::int64_t bytes = c10::multiply_integers(info.shape) * static_cast<std::int64_t>(c10::elementSize(type));
  if (!staging.defined() || staging.numel() < bytes) staging = at::empty({bytes}, at::kByte);
  const at::Tensor stored = staging.narrow(0, 0, bytes).view(type).view(info.shape);
  checkpoint.read(name, bytes_of(stored));
  return stored;
}

at::Tensor load_tensor(const Checkpoint& checkpoint, const TensorPlan& plan, const at::TensorOptions& options,
                       at::Tensor& staging) {
  const at::Tensor tensor = at::empty(plan.shape, options);
  for (const TensorPart& part : plan.parts) {
    const TensorInfo& info = *checkpoint.at(part.source).tensor;
    const bool same = tensor.is_cpu() && *scalar_type(info.dtype) == tensor.scalar_type();
    const at::Tensor target = tensor.narrow(0, part.row, part.rows);
    if (same && part.rows == info.shape.at(0)) {
      checkpoint.read(part.source, bytes_of(target));
    } else {
      const at::Tensor stored = read_tensor(checkpoint, part.source, staging);
      target.copy_(stored.narrow(0, part.source_row, part.rows).reshape(target.sizes()));
    }
  }
  return tensor;
}

}  // namespace

const at::Tensor* Weights::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const at::Tensor& Weights::at(std::string_view name, at::IntArrayRef shape) const {
  const at::Tensor* tensor = find(name);
  if (tensor == nullptr) {
    throw Error::format(ErrorCode::model_missing, "{}: tensor {} is missing; expected shape {}", origin_,
                        quote_name(name), format_shape(as_span(shape)));
  }
  if (tensor->sizes() != shape) {
    throw Error::format(ErrorCode::model_missing, "{}: tensor {} has the wrong shape: expected {}, found {}", origin_,
                        quote_name(name), format_shape(as_span(shape)), format_shape(as_span(tensor->sizes())));
  }
  return *tensor;
}

TensorPlan whole_tensor(std::string name, std::vector<std::int64_t> shape, std::string source) {
  TensorPart part{std::move(source), shape, 0, 0, shape.at(0)};
  return {std::move(name), std::move(shape), {std::move(part)}};
}

void check_weights(const Checkpoint& checkpoint, const LoadTable& table) {
  for (const TensorPlan& plan : table) {
    for (const TensorPart& part : plan.parts) {
      const Checkpoint::Entry& entry = checkpoint.at(part.source, part.source_shape);
      if (scalar_type(entry.tensor->dtype)) continue;
      throw Error::format(
          ErrorCode::model_missing,
          "{}: tensor {} has the type {}, which cannot be computed with: expected BF16, F16, F32, F64 or "
          "F8_E4M3",
          entry.file->path().string(), quote_name(part.source), name(entry.tensor->dtype));
    }
  }
}

std::int64_t weights_bytes(const LoadTable& table, at::ScalarType dtype) {
  std::int64_t elements = 0;
  for (const TensorPlan& plan : table) elements += c10::multiply_integers(plan.shape);
  return elements * static_cast<std::int64_t>(c10::elementSize(dtype));
}

Weights load_weights(const Checkpoint& checkpoint, const LoadTable& table, const at::TensorOptions& options,
                     const LoadHook& loaded) {
  check_weights(checkpoint, table);
  Weights::Tensors tensors;
  at::Tensor staging;
  for (const TensorPlan& plan : table) {
    const at::Tensor tensor = load_tensor(checkpoint, plan, options, staging);
    tensors.emplace(plan.name, tensor);
    if (loaded) loaded(static_cast<std::int64_t>(tensor.nbytes()));
  }
  return {std::move(tensors), checkpoint.path().string()};
}

}  // namespace step1x
